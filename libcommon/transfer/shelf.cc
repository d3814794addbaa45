#include "libcommon/transfer/shelf.h"

#include <algorithm>
#include <span>
#include <string>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/base/sha256.h"
#include "libcommon/os/read_file.h"

namespace ptrain::transfer {
namespace {

wire::Buffer buffer_of(std::string_view text) {
  return wire::Buffer::copy_of(std::as_bytes(std::span(text)));
}

Refusal not_here(std::string why) { return {Refusal::Kind::not_here, std::move(why)}; }
Refusal damaged(std::string why) { return {Refusal::Kind::damaged, std::move(why)}; }

// Runs `read`; a file that has gone or cannot be read is a refusal, not the end of the holder.
template <class Read>
auto or_refusal(Read read) -> decltype(read()) {
  try {
    return read();
  } catch (const Error& error) {
    // Paths of this host are nobody else's business.
    if (error.kind() == ErrorKind::corrupt) return damaged("it is damaged here");
    if (error.kind() == ErrorKind::io) return not_here("it cannot be read here");
    throw;
  }
}

}  // namespace

Shelf::Shelf(os::Storage& storage, std::filesystem::path directory, const Clock& clock)
    : storage_(storage), store_(storage, std::move(directory), "shelf"), clock_(clock) {}

void Shelf::refresh() {
  const TimePoint now = clock_.now();
  if (refreshed_ && now - *refreshed_ < kShelfRefresh) return;
  refreshed_ = now;
  steps_ = store_.list();
  std::erase_if(steps_, [](const ckpt::StepInfo& info) { return !info.id || info.held.empty(); });
  std::ranges::reverse(steps_);
}

const ckpt::StepInfo* Shelf::find(const ckpt::CheckpointId& id) {
  const auto known = [&] {
    return std::ranges::find_if(steps_, [&](const ckpt::StepInfo& s) { return s.id == id; });
  };
  if (known() == steps_.end()) refresh();
  const auto found = known();
  return found == steps_.end() ? nullptr : &*found;
}

Listing Shelf::list() {
  refresh();
  Listing listing;
  for (const ckpt::StepInfo& info : steps_) {
    if (listing.size() == kMaxListed) break;
    listing.push_back({.step = info.step,
                       .id = *info.id,
                       .stage_count = static_cast<std::uint32_t>(info.manifest->stages.size()),
                       .held = info.held});
  }
  return listing;
}

Shelf::Piece Shelf::manifest(const ckpt::CheckpointId& id) {
  const ckpt::StepInfo* step = find(id);
  if (step == nullptr) return not_here("no checkpoint has that id here");
  return buffer_of(ckpt::canonical_json(*step->manifest));
}

std::variant<const Shelf::RecordAtHand*, Refusal> Shelf::load_record(const RecordKey& key) {
  const auto at_hand =
      std::ranges::find_if(records_, [&](const RecordAtHand& r) { return r.key == key; });
  if (at_hand != records_.end()) return &*at_hand;
  const ckpt::StepInfo* step = find(key.first);
  if (step == nullptr) return not_here("no checkpoint has that id here");
  if (std::ranges::find(step->held, key.second) == step->held.end()) {
    return not_here(fmt::format("stage {} is not here", key.second.value()));
  }
  const ckpt::FileDigest& described = step->manifest->stages[key.second.value()].record;
  const auto path = store_.step_directory(step->step) / described.name;
  std::string text = os::read_file(storage_, path, ckpt::kMaxRecordBytes);
  if (sha256(text) != described.sha256) return damaged("its record is damaged here");
  ckpt::StageRecord record = ckpt::parse_record(text, path.string());
  records_.push_front({key, std::move(text), std::move(record)});
  if (records_.size() > kMaxRecordsAtHand) records_.pop_back();
  return &records_.front();
}

Shelf::Piece Shelf::record(const ckpt::CheckpointId& id, StageIndex stage) {
  return or_refusal([&]() -> Piece {
    auto loaded = load_record({id, stage});
    if (auto* refusal = std::get_if<Refusal>(&loaded)) return std::move(*refusal);
    return buffer_of(std::get<const RecordAtHand*>(loaded)->text);
  });
}

Shelf::Piece Shelf::chunk(const ChunkRequest& request) {
  return or_refusal([&]() -> Piece {
    auto loaded = load_record({request.id, request.stage});
    if (auto* refusal = std::get_if<Refusal>(&loaded)) return std::move(*refusal);
    const ckpt::StageRecord& record = std::get<const RecordAtHand*>(loaded)->record;
    const ckpt::FileRecord* file = file_of(record, request.part);
    if (file == nullptr) return not_here(fmt::format("it has no {} file", name_of(request.part)));
    const ckpt::StepInfo* step = find(request.id);
    if (step == nullptr) return not_here("no checkpoint has that id here");
    return read_chunk(*step, *file, request.chunk);
  });
}

Shelf::Piece Shelf::read_chunk(const ckpt::StepInfo& step, const ckpt::FileRecord& file,
                               std::uint32_t chunk) {
  if (chunk >= file.chunk_sha256.size()) {
    return not_here(fmt::format("the file has {} chunks", file.chunk_sha256.size()));
  }
  const auto opened = os::open_regular(storage_, store_.step_directory(step.step) / file.file.name);
  const std::uint64_t begin = chunk * ckpt::kChunkBytes;
  const std::uint64_t end = std::min(file.file.bytes.value(), begin + ckpt::kChunkBytes);
  if (opened->size() != file.file.bytes) return damaged("the file has another size here");
  wire::MutableBuffer bytes(end - begin);
  opened->read_at(begin, bytes.bytes());
  if (sha256(bytes.bytes()) != file.chunk_sha256[chunk]) return damaged("it is damaged here");
  return std::move(bytes).freeze();
}

}  // namespace ptrain::transfer
