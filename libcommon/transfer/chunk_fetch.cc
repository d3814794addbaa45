#include "libcommon/transfer/chunk_fetch.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/base/sha256.h"

namespace ptrain::transfer {
namespace {

constexpr Duration kStopQuestionInterval = std::chrono::milliseconds(100);

std::set<ChunkId> missing_chunks(const std::vector<WantedFile>& files) {
  std::set<ChunkId> missing;
  for (std::uint32_t file = 0; file < files.size(); ++file) {
    for (const std::uint32_t chunk : files[file].local.missing()) missing.insert({file, chunk});
  }
  return missing;
}

}  // namespace

ChunkFetch::ChunkFetch(const ckpt::CheckpointId& id, std::vector<WantedFile>& files,
                       HolderPool& pool, RateLimit rate, const Clock& clock)
    : id_(id),
      files_(files),
      pool_(pool),
      rate_(rate),
      clock_(clock),
      plan_(missing_chunks(files)) {
  for (std::uint32_t i = 0; i < pool.holders().size(); ++i) join(HolderIndex(i));
}

bool ChunkFetch::run(const std::function<bool()>& stop,
                     const std::function<void(ByteCount)>& arrived) {
  arrived_ = arrived;
  while (plan_.remaining() > 0) {
    if (stop()) return false;
    top_up();
    throw_if_hopeless();
    if (const auto event = pool_.wait(patience())) take(*event);
  }
  return true;
}

// A holder that is ready, with the files that it says it has; others are left out until they are.
void ChunkFetch::join(HolderIndex holder) {
  if (pool_[holder].state != Holder::State::ready) return;
  std::set<std::uint32_t> files;
  for (std::uint32_t i = 0; i < files_.size(); ++i) {
    if (pool_[holder].holds(id_, files_[i].stage)) files.insert(i);
  }
  plan_.add_holder(holder, std::move(files));
  windows_[holder] = {};
}

void ChunkFetch::top_up() {
  for (auto& [holder, window] : windows_) {
    while (plan_.in_flight(holder) < window.size() && rate_.ready(clock_.now())) {
      const auto chunk = plan_.next(holder, clock_.now());
      if (!chunk) break;
      if (!pool_.ask(holder, request_of(*chunk))) break;  // it is lost, which will be reported
      rate_.spend(files_[chunk->file].local.chunk_bytes(chunk->chunk), clock_.now());
    }
  }
}

Duration ChunkFetch::patience() const {
  const Duration until_rate = rate_.ready_at() - clock_.now();
  return until_rate <= Duration::zero() ? kStopQuestionInterval
                                        : std::min(kStopQuestionInterval, until_rate);
}

void ChunkFetch::take(const HolderEvent& event) {
  if (const auto* ready = std::get_if<HolderReady>(&event)) {
    join(ready->holder);
  } else if (const auto* gone = std::get_if<HolderGone>(&event)) {
    plan_.remove_holder(gone->holder);
    windows_.erase(gone->holder);
  } else {
    take(std::get<Answered>(event));
  }
}

void ChunkFetch::take(const Answered& answered) {
  const auto chunk = chunk_of(answered.request);
  if (!chunk) return;
  if (const auto* bytes = std::get_if<wire::Buffer>(&answered.answer)) {
    take_bytes(answered.holder, *chunk, *bytes);
  } else {
    plan_.refused(answered.holder, *chunk);
  }
}

void ChunkFetch::take_bytes(HolderIndex holder, ChunkId chunk, const wire::Buffer& bytes) {
  LocalFile& local = files_[chunk.file].local;
  if (sha256(bytes.bytes()) != local.record().chunk_sha256[chunk.chunk]) {
    pool_.drop(holder, Error(ErrorKind::corrupt,
                             fmt::format("{} sent {} with another SHA-256 than the checkpoint says",
                                         pool_[holder].name, describe(chunk))));
    plan_.remove_holder(holder);
    windows_.erase(holder);
    return;
  }
  windows_[holder].chunk_arrived(clock_.now());
  if (!plan_.arrived(holder, chunk)) return;
  const ByteCount size(bytes.size());
  pool_.credit(holder, size);
  local.write(chunk.chunk, bytes.bytes());
  arrived_(size);
}

// When nothing is on its way and nothing can be asked for, waiting does not help.
void ChunkFetch::throw_if_hopeless() const {
  if (!pool_.any_left()) throw pool_.exhausted();
  const bool on_its_way = std::ranges::any_of(
      windows_, [&](const auto& entry) { return plan_.in_flight(entry.first) > 0; });
  if (on_its_way || pool_.any_coming()) return;
  if (const auto orphan = plan_.orphan()) {
    throw Error(ErrorKind::unavailable, fmt::format("no holder can give {}", describe(*orphan)),
                "name another holder with --from; what has come is kept");
  }
}

std::optional<ChunkId> ChunkFetch::chunk_of(const Request& request) const {
  const auto* wanted = std::get_if<ChunkRequest>(&request);
  if (wanted == nullptr || wanted->id != id_) return std::nullopt;
  for (std::uint32_t i = 0; i < files_.size(); ++i) {
    if (files_[i].stage == wanted->stage && files_[i].part == wanted->part) {
      return ChunkId{i, wanted->chunk};
    }
  }
  return std::nullopt;
}

ChunkRequest ChunkFetch::request_of(ChunkId chunk) const {
  const WantedFile& file = files_[chunk.file];
  return {.id = id_, .stage = file.stage, .part = file.part, .chunk = chunk.chunk};
}

std::string ChunkFetch::describe(ChunkId chunk) const {
  return fmt::format("chunk {} of {}", chunk.chunk, files_[chunk.file].local.record().file.name);
}

}  // namespace ptrain::transfer
