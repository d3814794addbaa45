#include "libcommon/transfer/chunk_plan.h"

#include <algorithm>
#include <utility>

namespace ptrain::transfer {
namespace {

// Holders that owe the same chunk at the end: the slow one, and one that may be quicker.
constexpr int kMaxCopies = 2;

}  // namespace

bool ChunkPlan::Holder::owes(ChunkId chunk) const {
  return std::ranges::find(in_flight, chunk, &Asked::chunk) != in_flight.end();
}

void ChunkPlan::add_holder(HolderIndex holder, std::set<std::uint32_t> files) {
  remove_holder(holder);
  holders_[holder].files = std::move(files);
}

void ChunkPlan::remove_holder(HolderIndex holder) {
  const auto found = holders_.find(holder);
  if (found == holders_.end()) return;
  for (const Asked& asked : found->second.in_flight) give_back(asked.chunk);
  holders_.erase(found);
}

// One holder less owes it; asked for again when it was the last.
void ChunkPlan::give_back(ChunkId chunk) {
  const auto owed = owed_.find(chunk);
  if (owed == owed_.end() || --owed->second > 0) return;
  owed_.erase(owed);
  unasked_.insert(chunk);
}

std::optional<ChunkId> ChunkPlan::next(HolderIndex index, TimePoint now) {
  const auto found = holders_.find(index);
  if (found == holders_.end()) return std::nullopt;
  Holder& holder = found->second;
  const auto unasked =
      std::ranges::find_if(unasked_, [&](ChunkId chunk) { return holder.has(chunk); });
  std::optional<ChunkId> chosen;
  if (unasked != unasked_.end()) {
    chosen = *unasked;
    unasked_.erase(unasked);
  } else if (holder.in_flight.empty()) {
    chosen = repeatable(holder, now);
  }
  if (!chosen) return std::nullopt;
  ++owed_[*chosen];
  holder.in_flight.push_back({*chosen, now});
  return chosen;
}

// Holders that owe it and may well send it soon.
int ChunkPlan::relied_on(ChunkId chunk, TimePoint now) const {
  return static_cast<int>(std::ranges::count_if(holders_, [&](const auto& entry) {
    return std::ranges::any_of(entry.second.in_flight, [&](const Asked& asked) {
      return asked.chunk == chunk && now - asked.at < kOverdue;
    });
  }));
}

// Of the holder that owes most, what it will send last.
std::optional<ChunkId> ChunkPlan::repeatable(const Holder& idle, TimePoint now) const {
  std::optional<ChunkId> chosen;
  std::size_t most = 0;
  for (const auto& [index, other] : holders_) {
    if (other.in_flight.size() <= most) continue;
    const auto last =
        std::find_if(other.in_flight.rbegin(), other.in_flight.rend(), [&](const Asked& asked) {
          // It may have arrived from elsewhere.
          return owed_.contains(asked.chunk) && idle.has(asked.chunk) &&
                 relied_on(asked.chunk, now) < kMaxCopies;
        });
    if (last == other.in_flight.rend()) continue;
    most = other.in_flight.size();
    chosen = last->chunk;
  }
  return chosen;
}

bool ChunkPlan::arrived(HolderIndex holder, ChunkId chunk) {
  if (const auto found = holders_.find(holder); found != holders_.end()) {
    std::erase_if(found->second.in_flight, [&](const Asked& a) { return a.chunk == chunk; });
  }
  return owed_.erase(chunk) + unasked_.erase(chunk) > 0;
}

void ChunkPlan::refused(HolderIndex index, ChunkId chunk) {
  const auto found = holders_.find(index);
  if (found == holders_.end()) return;
  found->second.refused.insert(chunk);
  if (!found->second.owes(chunk)) return;
  std::erase_if(found->second.in_flight, [&](const Asked& a) { return a.chunk == chunk; });
  give_back(chunk);
}

std::size_t ChunkPlan::in_flight(HolderIndex holder) const {
  const auto found = holders_.find(holder);
  return found == holders_.end() ? 0 : found->second.in_flight.size();
}

std::optional<ChunkId> ChunkPlan::orphan() const {
  const auto lost = std::ranges::find_if(unasked_, [&](ChunkId chunk) {
    return std::ranges::none_of(holders_, [&](const auto& h) { return h.second.has(chunk); });
  });
  return lost == unasked_.end() ? std::nullopt : std::optional(*lost);
}

}  // namespace ptrain::transfer
