#include "libcommon/reduce/reduce_plan.h"

#include <algorithm>
#include <limits>

#include <fmt/format.h>

namespace ptrain::reduce {
namespace {

std::optional<std::string> flaw_of_chunks(const ReducePlan& plan) {
  if (plan.chunks.size() != plan.members.size()) {
    return fmt::format("{} chunks for {} members", plan.chunks.size(), plan.members.size());
  }
  std::uint64_t begin = 0;
  for (std::size_t i = 0; i < plan.chunks.size(); ++i) {
    const ElementRange& chunk = plan.chunks[i];
    if (chunk.first != begin || chunk.count > kMaxElements - begin) {
      return fmt::format(
          "chunk {} of {} elements begins at {}; it follows one that ends at {}, and "
          "at most {} are possible",
          i, chunk.count, chunk.first, begin, kMaxElements);
    }
    begin = chunk.end();
  }
  for (std::size_t i = 0; i < plan.chunks.size(); ++i) {
    const std::uint64_t end = plan.chunks[i].end();
    if (end % kBlockElements == 0 || end == begin) continue;
    return fmt::format("chunk {} ends at element {}, within a block of {}", i, end, kBlockElements);
  }
  return std::nullopt;
}

}  // namespace

std::vector<LaneIndex> ReducePlan::lanes_of(MemberIndex member) const {
  std::vector<LaneIndex> lanes;
  for (std::uint32_t l = 0; l < holder_of_lane.size(); ++l) {
    if (holder_of_lane[l] == member) lanes.emplace_back(l);
  }
  return lanes;
}

std::vector<LaneRange> ReducePlan::subtrees_of(MemberIndex member) const {
  return maximal_subtrees(root(), lanes_of(member));
}

std::uint32_t ReducePlan::pieces_of(MemberIndex owner) const {
  const std::uint64_t count = chunks[owner.value()].count;
  return static_cast<std::uint32_t>((count + piece_elements - 1) / piece_elements);
}

ElementRange ReducePlan::piece(MemberIndex owner, std::uint32_t number) const {
  const ElementRange& chunk = chunks[owner.value()];
  const std::uint64_t first = number * piece_elements;
  return {.first = chunk.first + first, .count = std::min(piece_elements, chunk.count - first)};
}

std::optional<std::string> flaw_of(const ReducePlan& plan) {
  const std::size_t members = plan.members.size();
  if (members < 1 || members > kMaxMembers) {
    return fmt::format("{} members; 1 to {} are possible", members, kMaxMembers);
  }
  const std::size_t lanes = plan.holder_of_lane.size();
  if (lanes < 1 || lanes > kMaxLanes) {
    return fmt::format("{} lanes; 1 to {} are possible", lanes, kMaxLanes);
  }
  std::vector<bool> holds(members);
  for (std::size_t l = 0; l < lanes; ++l) {
    const std::uint32_t holder = plan.holder_of_lane[l].value();
    if (holder >= members)
      return fmt::format("lane {} is held by member {}; there are {}", l, holder, members);
    holds[holder] = true;
  }
  const auto idle = std::find(holds.begin(), holds.end(), false);
  if (idle != holds.end()) {
    return fmt::format("{} holds no lane",
                       plan.members[static_cast<std::size_t>(idle - holds.begin())]);
  }
  if (plan.piece_elements < kBlockElements || plan.piece_elements > kMaxPieceElements ||
      plan.piece_elements % kBlockElements != 0) {
    return fmt::format("pieces of {} elements; multiples of {} to {} are possible",
                       plan.piece_elements, kBlockElements, kMaxPieceElements);
  }
  if (plan.window_pieces < 1 || plan.window_pieces > kMaxWindowPieces) {
    return fmt::format("a window of {} pieces; 1 to {} are possible", plan.window_pieces,
                       kMaxWindowPieces);
  }
  if (!(plan.edges.feedback >= 0 && plan.edges.feedback <= 1)) {
    return fmt::format("error feedback of {}; 0 to 1 are possible", plan.edges.feedback);
  }
  return flaw_of_chunks(plan);
}

}  // namespace ptrain::reduce
