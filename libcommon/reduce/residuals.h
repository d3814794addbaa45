// Error feedback: what the edges of the tree lost to their codec, and will carry with the next sum.
//
// The residual of an edge is a vector as long as the summed one, zero at first, and belongs to the
// edge's lowest lane: it is part of that lane's state, in its checkpoint. While sums are computed,
// its parts lie where the edge is encoded, and that follows from the plan: an edge that leaves a
// node of which one member holds all lanes lies with that member, whole; one further up with the
// owners of the chunks, each its own chunk. moves() says what to send to whom when lanes or chunks
// change hands, when a checkpoint collects each lane's state, and when it is dealt out again.
//
// A round that is left before its end has changed some residuals and others not: they are worth
// nothing then, and come from the last checkpoint. Not thread-safe.

#pragma once

#include <map>
#include <optional>
#include <span>
#include <vector>

#include "libcommon/reduce/reduce_plan.h"

namespace ptrain::reduce {

struct ResidualPlace {
  LaneRange edge;
  ElementRange elements;
  MemberIndex member;

  bool operator==(const ResidualPlace&) const = default;
};

// Where residuals lie while sums are computed; none without feedback.
std::vector<ResidualPlace> places_in_sums(const ReducePlan& plan);
// Where they lie in checkpoints: all of an edge with the holder of its lowest lane.
std::vector<ResidualPlace> places_by_lane(const ReducePlan& plan);

struct ResidualMove {
  LaneRange edge;
  ElementRange elements;
  MemberIndex from;
  MemberIndex to;

  bool operator==(const ResidualMove&) const = default;
};

// What has to be copied so that what lies as `before` says lies as `after` says, what stays with
// its member among it. Both of the same edges and elements, and of the same members.
std::vector<ResidualMove> moves(std::span<const ResidualPlace> before,
                                std::span<const ResidualPlace> after);

// One member's.
class Residuals {
 public:
  Residuals() = default;
  // Zeros, for those places that are this member's.
  Residuals(std::span<const ResidualPlace> places, MemberIndex self);

  bool empty() const { return parts_.empty(); }
  // A part of an edge's residual, to read and to change. Throws Error(internal) for what does not
  // lie here.
  std::span<float> of(const LaneRange& edge, const ElementRange& elements);

 private:
  struct Part {
    ElementRange elements;
    std::vector<float> values;
  };
  std::map<LaneRange, Part> parts_;
};

// Encodes values + residual, and leaves in `residual` what is to come back of what was lost:
// feedback x (values + residual - what `out` decodes to). With an empty residual it is the codec's
// encode(). `decoded` has at least as many elements as `values`. Returns the first element that is
// not finite; the residual is worth nothing then.
std::optional<std::uint64_t> encode_edge(const EdgeRule& rule, std::span<const float> values,
                                         std::span<float> residual, std::span<float> decoded,
                                         std::span<std::byte> out);

}  // namespace ptrain::reduce
