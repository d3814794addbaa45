#include "libcommon/reduce/residuals.h"

#include <algorithm>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/base/subnormals.h"
#include "libcommon/reduce/kernels/kernels.h"

namespace ptrain::reduce {
namespace {

// The member that holds all lanes of a node.
std::optional<MemberIndex> only_holder(const ReducePlan& plan, const LaneRange& node) {
  const MemberIndex holder = plan.holder_of_lane[node.first];
  const auto begin = plan.holder_of_lane.begin();
  const bool all = std::all_of(begin + node.first, begin + node.end,
                               [&](MemberIndex member) { return member == holder; });
  return all ? std::optional(holder) : std::nullopt;
}

ElementRange common_part(const ElementRange& a, const ElementRange& b) {
  const std::uint64_t first = std::max(a.first, b.first);
  const std::uint64_t end = std::min(a.end(), b.end());
  return {.first = first, .count = end > first ? end - first : 0};
}

}  // namespace

std::vector<ResidualPlace> places_in_sums(const ReducePlan& plan) {
  if (plan.edges.feedback == 0) return {};
  std::vector<ResidualPlace> places;
  for (const LaneRange& edge : nodes_of(plan.root())) {
    if (const auto holder = only_holder(plan, edge)) {
      places.push_back({edge, {0, plan.elements()}, *holder});
      continue;
    }
    for (std::uint32_t m = 0; m < plan.chunks.size(); ++m) {
      if (plan.chunks[m].count > 0) places.push_back({edge, plan.chunks[m], MemberIndex(m)});
    }
  }
  return places;
}

std::vector<ResidualPlace> places_by_lane(const ReducePlan& plan) {
  if (plan.edges.feedback == 0) return {};
  std::vector<ResidualPlace> places;
  for (const LaneRange& edge : nodes_of(plan.root())) {
    places.push_back({edge, {0, plan.elements()}, plan.holder_of_lane[edge.first]});
  }
  return places;
}

std::vector<ResidualMove> moves(std::span<const ResidualPlace> before,
                                std::span<const ResidualPlace> after) {
  std::vector<ResidualMove> moves;
  for (const ResidualPlace& to : after) {
    for (const ResidualPlace& from : before) {
      if (from.edge != to.edge) continue;
      const ElementRange part = common_part(from.elements, to.elements);
      if (part.count > 0) moves.push_back({to.edge, part, from.member, to.member});
    }
  }
  return moves;
}

Residuals::Residuals(std::span<const ResidualPlace> places, MemberIndex self) {
  for (const ResidualPlace& place : places) {
    if (place.member != self) continue;
    parts_[place.edge] = {.elements = place.elements,
                          .values = std::vector<float>(place.elements.count)};
  }
}

std::span<float> Residuals::of(const LaneRange& edge, const ElementRange& elements) {
  const auto found = parts_.find(edge);
  if (found != parts_.end()) {
    const ElementRange& held = found->second.elements;
    if (elements.first >= held.first && elements.end() <= held.end()) {
      return std::span(found->second.values).subspan(elements.first - held.first, elements.count);
    }
  }
  throw Error(ErrorKind::internal,
              fmt::format("the residual of {} at elements {} to {} does not lie here",
                          to_string(edge), elements.first, elements.end()));
}

std::optional<std::uint64_t> encode_edge(const EdgeRule& rule, std::span<const float> values,
                                         std::span<float> residual, std::span<float> decoded,
                                         std::span<std::byte> out) {
  const SubnormalMode mode(Subnormals::kept);
  const EdgeCodec& codec = edge_codec(rule.codec);
  if (residual.empty()) return codec.encode(values, out);
  kernels().add(std::as_bytes(values).data(), residual.data(), residual.size());
  if (const auto bad = codec.encode(residual, out)) return bad;
  const std::span<float> sent = decoded.first(values.size());
  codec.decode(out, sent);
  kernels().keep_lost(sent.data(), rule.feedback, residual.data(), residual.size());
  return std::nullopt;
}

}  // namespace ptrain::reduce
