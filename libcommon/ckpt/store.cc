#include "libcommon/ckpt/store.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include <fmt/format.h>

#include "libcommon/base/bytes_of.h"
#include "libcommon/base/error.h"
#include "libcommon/ckpt/shard_writer.h"
#include "libcommon/ckpt/tokenizer_file.h"
#include "libcommon/os/atomic_file.h"
#include "libcommon/os/read_file.h"

namespace ptrain::ckpt {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kStepPrefix = "step-";

std::optional<std::uint64_t> decimal(std::string_view text) {
  std::uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, value);
  if (text.empty() || result.ec != std::errc() || result.ptr != end) return std::nullopt;
  return value;
}

void check_writer(const std::string& writer) {
  const bool plain = !writer.empty() && std::ranges::all_of(writer, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
  });
  if (!plain) {
    throw Error(ErrorKind::internal,
                "checkpoint writer \"" + writer + "\": expected letters, digits and -");
  }
}

void check_bytes(const TensorInfo& info, std::uint64_t bytes) {
  if (byte_size(info) == bytes) return;
  throw Error(ErrorKind::internal,
              fmt::format("tensor \"{}\" [{}] {} comes with {} bytes", info.name,
                          fmt::join(info.shape, ", "), dtype_name(info.dtype), bytes));
}

// What is wrong with the file that the manifest describes; empty when it is whole by size.
struct Fault {
  StepState state = StepState::complete;
  std::string reason;
};

Fault fault_of(os::Storage& storage, const fs::path& folder, const FileDigest& file) {
  const auto status = storage.status(folder / file.name);
  if (!status) return {StepState::partial, file.name + " is not here"};
  if (status->kind != os::FileKind::regular) {
    return {StepState::corrupt, file.name + " is not a regular file"};
  }
  if (status->size != file.bytes) {
    return {StepState::corrupt, fmt::format("{} has {} bytes, the manifest says {}", file.name,
                                            status->size.value(), file.bytes.value())};
  }
  return {};
}

// Fills state, reason and held from a manifest that checked.
void judge_files(os::Storage& storage, const fs::path& folder, StepInfo& info) {
  info.state = StepState::complete;
  for (std::size_t i = 0; i < info.manifest->stages.size(); ++i) {
    bool whole = true;
    for (const FileDigest& file : files(info.manifest->stages[i])) {
      const Fault fault = fault_of(storage, folder, file);
      if (fault.state == StepState::complete) continue;
      whole = false;
      // A damaged file says more than one that lies on another host.
      if (info.state == StepState::complete || fault.state == StepState::corrupt) {
        info.state = fault.state;
        info.reason = fault.reason;
      }
    }
    if (whole) info.held.emplace_back(static_cast<std::uint32_t>(i));
  }
}

bool is_link(os::Storage& storage, const fs::path& path) {
  const auto status = storage.status(path);
  return status && status->kind == os::FileKind::link;
}

void measure_folder(os::Storage& storage, const fs::path& folder, StepInfo& info) {
  for (const std::string& name : storage.list(folder)) {
    const auto status = storage.status(folder / name);
    if (!status || status->kind != os::FileKind::regular) continue;
    info.bytes = ByteCount(info.bytes.value() + status->size.value());
    info.modified = std::max(info.modified, status->modified);
  }
}

}  // namespace

std::string step_name(Step step) { return fmt::format("{}{:08}", kStepPrefix, step.value()); }

std::optional<Step> step_from_name(std::string_view name) {
  if (!name.starts_with(kStepPrefix)) return std::nullopt;
  const auto number = decimal(name.substr(kStepPrefix.size()));
  if (!number || step_name(Step(*number)) != name) return std::nullopt;
  return Step(*number);
}

const StepInfo* match_id(std::span<const StepInfo> steps, std::string_view prefix) {
  const StepInfo* match = nullptr;
  for (const StepInfo& info : steps) {
    if (!info.id || !info.id->hex().starts_with(prefix)) continue;
    if (match != nullptr) {
      throw Error(
          ErrorKind::usage,
          fmt::format("{} fits checkpoints {} and {}", prefix, match->id->hex(), info.id->hex()),
          "give more digits");
    }
    match = &info;
  }
  return match;
}

CheckpointStore::CheckpointStore(os::Storage& storage, fs::path directory, std::string writer)
    : storage_(storage), directory_(std::move(directory)), writer_(std::move(writer)) {
  check_writer(writer_);
}

fs::path CheckpointStore::step_directory(Step step) const { return directory_ / step_name(step); }

std::vector<Step> CheckpointStore::steps() const {
  std::vector<Step> found;
  for (const std::string& name : storage_.list(directory_)) {
    if (const auto step = step_from_name(name)) found.push_back(*step);
  }
  std::ranges::sort(found);
  return found;
}

std::vector<StepInfo> CheckpointStore::list() const {
  std::vector<StepInfo> found;
  for (const Step step : steps()) {
    if (auto info = inspect(step)) found.push_back(std::move(*info));
  }
  return found;
}

std::optional<StepInfo> CheckpointStore::newest_complete() const {
  const auto found = steps();
  for (auto step = found.rbegin(); step != found.rend(); ++step) {
    auto info = inspect(*step);
    if (info && info->state == StepState::complete) return info;
  }
  return std::nullopt;
}

std::optional<StepInfo> CheckpointStore::find(std::string_view which) const {
  if (which == "latest") return newest_complete();
  if (const auto step = step_from_name(which)) return inspect(*step);
  if (const auto number = decimal(which)) {
    if (auto info = inspect(Step(*number))) return info;
  }
  if (which.size() < kMinIdPrefix) return std::nullopt;
  const auto found = list();
  const StepInfo* match = match_id(found, which);
  return match != nullptr ? std::optional(*match) : std::nullopt;
}

std::optional<StepInfo> CheckpointStore::inspect(Step step) const {
  const fs::path folder = step_directory(step);
  const auto status = storage_.followed_status(folder);
  if (!status || status->kind != os::FileKind::directory) return std::nullopt;
  StepInfo info;
  info.step = step;
  info.linked = is_link(storage_, folder);
  info.modified = status->modified;
  measure_folder(storage_, folder, info);
  if (!storage_.status(folder / kManifestName)) {
    info.reason = "no manifest.json: the step was not saved to its end";
    return info;
  }
  try {
    info.manifest = read_manifest(step);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::corrupt) throw;
    info.state = StepState::corrupt;
    info.reason = error.what();
    return info;
  }
  info.id = checkpoint_id(*info.manifest);
  judge_files(storage_, folder, info);
  return info;
}

void CheckpointStore::refuse_link(Step step) const {
  const fs::path folder = step_directory(step);
  if (!is_link(storage_, folder)) return;
  throw Error(ErrorKind::usage,
              folder.string() + " is a symbolic link: nothing is changed through it",
              "move the link away, or name the folder that holds what it leads to");
}

bool CheckpointStore::holds(Step step, StageIndex stage) const {
  const auto info = inspect(step);
  return info && std::ranges::find(info->held, stage) != info->held.end();
}

Manifest CheckpointStore::read_manifest(Step step) const {
  const fs::path path = step_directory(step) / kManifestName;
  Manifest manifest =
      parse_manifest(os::read_file(storage_, path, kMaxManifestBytes), path.string());
  if (manifest.run.step != step) {
    throw Error(ErrorKind::corrupt, fmt::format("{}: is the manifest of step {}", path.string(),
                                                manifest.run.step.value()));
  }
  return manifest;
}

StageRecord CheckpointStore::read_record(Step step, StageIndex stage) const {
  const fs::path path = step_directory(step) / record_file_name(stage);
  StageRecord record = parse_record(os::read_file(storage_, path, kMaxRecordBytes), path.string());
  if (record.run.step != step || record.stage != stage) {
    throw Error(ErrorKind::corrupt,
                fmt::format("{}: is the record of stage {} of step {}", path.string(),
                            record.stage.value(), record.run.step.value()));
  }
  return record;
}

StageRecord CheckpointStore::write_stage(const StageState& state) {
  for (const TensorView& tensor : state.model) check_bytes(tensor.info, tensor.bytes.size());
  for (const TensorView& tensor : state.optim) check_bytes(tensor.info, tensor.bytes.size());
  StageLayout layout{state.run, state.stage, state.stage_count, state.span,
                     {},        {},          state.tokenizer};
  for (const TensorView& tensor : state.model) layout.model.push_back(tensor.info);
  for (const TensorView& tensor : state.optim) layout.optim.push_back(tensor.info);
  // The layout's tensors are asked for in its order, which is that of the views.
  std::size_t next = 0;
  return write_stage(layout, [&](const TensorInfo&, const ByteSink& sink) {
    const TensorView& tensor =
        next < state.model.size() ? state.model[next] : state.optim[next - state.model.size()];
    ++next;
    sink(tensor.bytes);
  });
}

StageRecord CheckpointStore::write_stage(const StageLayout& layout, const TensorStream& read) {
  try {
    return write_files(layout, read);
  } catch (const Error&) {
    // Leftovers would take room, on a disk that has none perhaps.
    remove_unclaimed(layout.run.step, std::exchange(written_, {}));
    throw;
  }
}

StageRecord CheckpointStore::write_files(const StageLayout& layout, const TensorStream& read) {
  const fs::path folder = step_directory(layout.run.step);
  written_.clear();
  refuse_link(layout.run.step);
  os::create_directories_durably(storage_, folder);
  clear_leftovers(folder);

  StageRecord record{layout.run, layout.stage, layout.stage_count, layout.span, {}, std::nullopt};
  record.model = write_shard(record, model_file_name(layout.stage), layout.model, read);
  if (!layout.optim.empty()) {
    record.optim = write_shard(record, optim_file_name(layout.stage), layout.optim, read);
  }
  if (layout.tokenizer) write_tokenizer(record, *layout.tokenizer);
  const fs::path path = folder / record_file_name(layout.stage);
  const std::string text = canonical_json(record);
  parse_record(text, path.string());  // what will be refused later must not be written now
  const FileDigest digest{path.filename().string(), ByteCount(text.size()), sha256(text)};
  if (!manifest_agrees(layout.run.step, digest)) withdraw(layout.run.step, layout.stage);
  os::write_file_durably(storage_, path, writer_, bytes_of(text));
  return record;
}

FileRecord CheckpointStore::write_shard(const StageRecord& record, const std::string& name,
                                        const std::vector<TensorInfo>& tensors,
                                        const TensorStream& read) {
  ShardWriter shard(storage_, step_directory(record.run.step) / name, writer_, tensors);
  for (const TensorInfo& tensor : tensors) {
    std::uint64_t written = 0;
    read(tensor, [&](std::span<const std::byte> bytes) {
      written += bytes.size();
      shard.append(bytes);
    });
    check_bytes(tensor, written);
  }
  FileRecord file = shard.finish();
  prepare_change(record, file.file);
  shard.commit();
  written_.push_back(name);
  return file;
}

void CheckpointStore::write_tokenizer(StageRecord& record, const std::string& bytes) {
  record.tokenizer = tokenizer_record(record.stage, bytes);
  const FileDigest& file = record.tokenizer->file;
  prepare_change(record, file);
  os::write_file_durably(storage_, step_directory(record.run.step) / file.name, writer_,
                         bytes_of(bytes));
  written_.push_back(file.name);
}

// Before a file of the stage gets these bytes: what says otherwise of it is withdrawn.
void CheckpointStore::prepare_change(const StageRecord& record, const FileDigest& file) {
  const Step step = record.run.step;
  if (!manifest_agrees(step, file) || !record_agrees(step, record.stage, file)) {
    withdraw(step, record.stage);
  }
}

// True unless a manifest stands that says something else of this file.
bool CheckpointStore::manifest_agrees(Step step, const FileDigest& file) const {
  if (!storage_.status(step_directory(step) / kManifestName)) return true;
  try {
    const auto described = files(read_manifest(step));
    return std::ranges::find(described, file) != described.end();
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::corrupt) throw;
    return false;
  }
}

bool CheckpointStore::record_agrees(Step step, StageIndex stage, const FileDigest& file) const {
  if (!storage_.status(step_directory(step) / record_file_name(stage))) return true;
  try {
    const auto described = described_files(read_record(step, stage));
    return std::ranges::find(described, file, &FileRecord::file) != described.end();
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::corrupt) throw;
    return false;
  }
}

void CheckpointStore::discard(Step step, StageIndex stage) {
  remove_unclaimed(step, {record_file_name(stage), model_file_name(stage), optim_file_name(stage),
                          tokenizer_file_name(stage)});
}

void CheckpointStore::remove_unclaimed(Step step, const std::vector<std::string>& names) {
  const fs::path folder = step_directory(step);
  try {
    const auto status = storage_.status(folder);
    const bool folder_is_there = status && status->kind == os::FileKind::directory;
    if (!folder_is_there || storage_.status(folder / kManifestName)) return;
    for (const std::string& name : names) storage_.remove(folder / name);
    if (storage_.list(folder).empty()) storage_.remove(folder);
  } catch (const Error&) {
    // What is left over takes room and does not exist; the error that brought us here says more.
  }
}

// Takes back what is said of a stage's files before they change: manifest, then record.
void CheckpointStore::withdraw(Step step, StageIndex stage) {
  const fs::path folder = step_directory(step);
  for (const fs::path& claim : {folder / kManifestName, folder / record_file_name(stage)}) {
    if (storage_.remove(claim)) storage_.sync_directory(folder);
  }
}

void CheckpointStore::clear_leftovers(const fs::path& folder) {
  const std::string ours = os::temporary_name(writer_, "");
  for (const std::string& name : storage_.list(folder)) {
    if (name.starts_with(ours)) storage_.remove(folder / name);
  }
}

void CheckpointStore::sync_files(const Manifest& manifest) {
  const fs::path folder = step_directory(manifest.run.step);
  std::vector<std::string> names{std::string(kManifestName)};
  for (const FileDigest& file : files(manifest)) names.push_back(file.name);
  for (const std::string& name : names) {
    if (storage_.status(folder / name)) storage_.sync_file(folder / name);
  }
  storage_.sync_directory(folder);
}

CheckpointId CheckpointStore::write_manifest(const Manifest& manifest) {
  const fs::path folder = step_directory(manifest.run.step);
  refuse_link(manifest.run.step);
  os::create_directories_durably(storage_, folder);
  for (const FileDigest& file : files(manifest)) {
    const Fault fault = fault_of(storage_, folder, file);
    if (fault.state == StepState::corrupt) {
      throw Error(ErrorKind::corrupt, folder.string() + ": " + fault.reason);
    }
  }
  const std::string text = canonical_json(manifest);
  parse_manifest(text, (folder / kManifestName).string());
  os::write_file_durably(storage_, folder / kManifestName, writer_, bytes_of(text));
  return checkpoint_id(manifest);
}

bool CheckpointStore::remove_step(Step step) {
  const fs::path folder = step_directory(step);
  if (!storage_.status(folder)) return false;
  refuse_link(step);
  const auto names = storage_.list(folder);
  for (const std::string& name : names) {  // before anything is gone
    const auto status = storage_.status(folder / name);
    if (status && status->kind == os::FileKind::directory) {
      throw Error(ErrorKind::corrupt,
                  (folder / name).string() + ": a directory, which no checkpoint holds",
                  "look at it, and remove it if it is not needed");
    }
  }
  if (storage_.remove(folder / kManifestName)) storage_.sync_directory(folder);
  for (const std::string& name : names) storage_.remove(folder / name);
  storage_.remove(folder);
  storage_.sync_directory(directory_);
  return true;
}

}  // namespace ptrain::ckpt
