#include "libcommon/ckpt/checkpoint_name.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "libcommon/base/error.h"

namespace ptrain::ckpt {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kLatest = "latest";
constexpr const char* kFolderOfRun = "ckpt";  // the job's default of checkpoint.dir
constexpr const char* kNamesHint =
    "a checkpoint is latest, a step, 8 digits or more of an id, or the same behind its folder, as "
    "in run/latest";

constexpr const char* kTicketHint =
    "of a run with a ticket: --ticket FILE instead of --from, and serve --ticket FILE there";

bool all_of(std::string_view text, std::string_view allowed) {
  return !text.empty() && text.find_first_not_of(allowed) == std::string_view::npos;
}

// Whether the word could be a name that CheckpointStore::find knows.
bool is_name(std::string_view word) {
  return word == kLatest || step_from_name(word) || all_of(word, "0123456789") ||
         (word.size() >= CheckpointStore::kMinIdPrefix && all_of(word, "0123456789abcdef"));
}

bool is_folder(os::Storage& storage, const fs::path& path) {
  const auto status = storage.followed_status(path);
  return status && status->kind == os::FileKind::directory;
}

bool holds_steps(os::Storage& storage, const fs::path& folder) {
  if (!is_folder(storage, folder)) return false;
  return std::ranges::any_of(storage.list(folder), [](const std::string& name) {
    return step_from_name(name).has_value();
  });
}

bool holds_checkpoints(os::Storage& storage, const fs::path& folder) {
  return holds_steps(storage, folder) || is_folder(storage, folder / kFolderOfRun);
}

// "stages 0 and 2 of 3 of step 80"
std::string share_text(const StepInfo& info) {
  std::string stages;
  for (std::size_t i = 0; i < info.held.size(); ++i) {
    const char* before = i == 0 ? "" : i + 1 == info.held.size() ? " and " : ", ";
    stages += fmt::format("{}{}", before, info.held[i].value());
  }
  return fmt::format("stage{} {} of {} of step {}", info.held.size() == 1 ? "" : "s", stages,
                     info.manifest->stages.size(), info.step.value());
}

bool is_share(const StepInfo& info) {
  return info.state == StepState::partial && info.manifest && !info.held.empty();
}

NoCheckpoint not_complete(const CheckpointStore& store, const StepInfo& info) {
  if (is_share(info)) return {words_on_share(store.directory(), info, ""), kTicketHint};
  const bool corrupt = info.state == StepState::corrupt;
  return {fmt::format("{} is {}: {}", store.step_directory(info.step).string(),
                      corrupt ? "corrupt" : "not complete", info.reason),
          "", corrupt};
}

NoCheckpoint nothing_in(os::Storage& storage, const fs::path& directory) {
  if (!storage.followed_status(directory)) {
    return {fmt::format("no folder {}", directory.string()), kNamesHint};
  }
  return {fmt::format("no checkpoints in {}", directory.string()), ""};
}

NoCheckpoint not_named(const CheckpointStore& store, const std::string& which) {
  return {fmt::format("no checkpoint {} in {}", which, store.directory().string()),
          fmt::format("ptrain-ckpt ls --dir {} lists those that are there",
                      store.directory().string())};
}

}  // namespace

fs::path checkpoint_folder(os::Storage& storage, const fs::path& path) {
  const fs::path inside = path / kFolderOfRun;
  return !holds_steps(storage, path) && is_folder(storage, inside) ? inside : path;
}

CheckpointName parse_checkpoint_name(os::Storage& storage, std::string_view word,
                                     const fs::path& directory) {
  while (word.size() > 1 && word.ends_with('/')) word.remove_suffix(1);  // a completed path
  const std::size_t slash = word.rfind('/');
  const bool alone = slash == std::string_view::npos;
  const std::string_view last = alone ? word : word.substr(slash + 1);
  // A folder may be named as a step or an id is: runs/20261129.
  const bool folder = !is_name(last) || (!alone && !step_from_name(last) &&
                                         holds_checkpoints(storage, fs::path(word)));
  if (folder) return {checkpoint_folder(storage, fs::path(word)), ""};
  const fs::path before = alone ? directory : fs::path(slash == 0 ? "/" : word.substr(0, slash));
  return {checkpoint_folder(storage, before), std::string(last)};
}

LookedUp find_checkpoint(os::Storage& storage, const CheckpointName& name) {
  CheckpointStore store(storage, name.directory, "reader");
  if (name.which == kLatest) return find_complete(storage, name);
  std::optional<StepInfo> info;
  if (!name.which.empty()) {
    info = store.find(name.which);
  } else if (auto all = store.list(); !all.empty()) {
    info = std::move(all.back());
  }
  if (info) return FoundCheckpoint{std::move(store), std::move(*info)};
  if (holds_steps(storage, name.directory)) return not_named(store, name.which);
  return nothing_in(storage, name.directory);
}

LookedUp find_complete(os::Storage& storage, const CheckpointName& name) {
  CheckpointStore store(storage, name.directory, "reader");
  const bool newest = name.which.empty() || name.which == kLatest;
  auto info = newest ? store.newest_complete() : store.find(name.which);
  if (info && info->state == StepState::complete) {
    return FoundCheckpoint{std::move(store), std::move(*info)};
  }
  if (info) return not_complete(store, *info);
  const auto all = store.list();
  if (all.empty()) return nothing_in(storage, name.directory);
  if (!newest) return not_named(store, name.which);
  const auto share = std::find_if(all.rbegin(), all.rend(), is_share);
  return not_complete(store, share != all.rend() ? *share : all.back());
}

std::string words_on_share(const fs::path& directory, const StepInfo& info,
                           const std::string& ticket_file) {
  if (!is_share(info)) return "";
  const std::string from =
      ticket_file.empty()
          ? "--from ENDPOINT, as ptrain-ckpt serve prints it on their hosts"
          : fmt::format("--ticket {0}, while ptrain-ckpt serve --ticket {0} runs on their hosts",
                        ticket_file);
  return fmt::format("{0} holds {1}; fetch the others with ptrain-ckpt fetch {2} --dir {0} {3}",
                     directory.string(), share_text(info), info.step.value(), from);
}

std::string words_on_share(os::Storage& storage, const fs::path& directory, Step step,
                           const std::string& ticket_file) {
  const auto info = CheckpointStore(storage, directory, "reader").inspect(step);
  return info ? words_on_share(directory, *info, ticket_file) : "";
}

std::string name_within(os::Storage& storage, const std::string& word, const fs::path& directory) {
  if (word.find('/') == std::string::npos) return word;
  const CheckpointName name = parse_checkpoint_name(storage, word, directory);
  if (name.directory.lexically_normal() != directory.lexically_normal()) {
    throw Error(ErrorKind::usage,
                fmt::format("{} is a checkpoint in {}, and not in {}", word,
                            name.directory.string(), directory.string()),
                "a run goes on from a checkpoint in its checkpoint.dir");
  }
  return name.which.empty() ? std::string(kLatest) : name.which;
}

}  // namespace ptrain::ckpt
