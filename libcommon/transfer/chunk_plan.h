// Which chunk to ask which holder for next. Pure.
//
// Every missing chunk is asked of one holder; it goes back to the others when that holder
// is lost, refuses it or sends it damaged. Only when nothing is left to ask for, an idle
// holder is given a chunk that others still owe, one other or any number of those that owe it for
// long: so holders that are slow, by nature or on purpose, do not hold up the end, and nothing is
// sent twice before.

#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "libcommon/base/clock.h"
#include "libcommon/base/units.h"

namespace ptrain::transfer {

// Who owes a chunk for longer is not relied on for it.
inline constexpr Duration kOverdue = std::chrono::seconds(10);

using HolderIndex = StrongInteger<struct HolderTag, std::uint32_t>;

// The n-th chunk of the n-th file of a fetch.
struct ChunkId {
  std::uint32_t file = 0;
  std::uint32_t chunk = 0;
  auto operator<=>(const ChunkId&) const = default;
};

class ChunkPlan {
 public:
  explicit ChunkPlan(std::set<ChunkId> missing) : unasked_(std::move(missing)) {}

  // A holder of these files; one that is there already starts anew.
  void add_holder(HolderIndex holder, std::set<std::uint32_t> files);
  void remove_holder(HolderIndex holder);

  // What to ask that holder for; nothing where all that it could send has been asked for.
  // It then counts as in flight there.
  std::optional<ChunkId> next(HolderIndex holder, TimePoint now);
  // The chunk is here. False when it was here already.
  bool arrived(HolderIndex holder, ChunkId chunk);
  // That holder will not send that chunk.
  void refused(HolderIndex holder, ChunkId chunk);

  std::size_t in_flight(HolderIndex holder) const;
  std::size_t remaining() const { return unasked_.size() + owed_.size(); }
  // A chunk that no holder is left for; others may yet come.
  std::optional<ChunkId> orphan() const;

 private:
  struct Asked {
    ChunkId chunk;
    TimePoint at;
  };
  struct Holder {
    std::set<std::uint32_t> files;
    std::set<ChunkId> refused;
    std::vector<Asked> in_flight;  // in the order in which they were asked for
    bool has(ChunkId chunk) const { return files.contains(chunk.file) && !refused.contains(chunk); }
    bool owes(ChunkId chunk) const;
  };
  void give_back(ChunkId chunk);
  int relied_on(ChunkId chunk, TimePoint now) const;
  std::optional<ChunkId> repeatable(const Holder& idle, TimePoint now) const;

  std::set<ChunkId> unasked_;
  std::map<ChunkId, int> owed_;  // asked for, not here: how many holders owe it
  std::map<HolderIndex, Holder> holders_;
};

}  // namespace ptrain::transfer
