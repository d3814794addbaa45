// One member's part in the sum of a vector over all lanes: a state machine that says what to send
// and takes what comes. It never waits; a Post carries the bytes.
//
// Reduce-scatter: a member adds its own lanes up as far as they are whole subtrees of the tree
// (lane_tree.h), and sends these subtotals, piece by piece, to the owner of the chunk that the
// piece is of. The owner adds what comes as the tree says: a subtotal that comes early waits for
// its sibling. All-gather: as soon as a piece is summed, its owner sends it to everyone. The codec
// acts on every edge of the tree, and last on the root's, whose bytes everyone decodes, the owner
// too: so all members end with the same bits, whoever holds or owns what, and in whichever order
// parts came.
//
// A member sends an owner at most window_pieces pieces more than it has had totals of, in order
// from the first. So a total is also the leave to go on, every queue is bounded, and no member can
// be so far ahead that another one has to keep what it cannot use yet.
//
// What a member sends that cannot be, is too large or small, too early, or would decode to an
// infinite number or to none, is refused: Error(corrupt) names the member, the part and what is
// wrong with it, and nothing has changed. What comes twice is dropped. A sum that is not finite
// though all that was sent is, or a lane of our own that is not, is Error(corrupt) too, and ends
// the sum.
//
// One thread at a time, any: one that takes subnormal numbers for zero elsewhere computes with them
// here, so bits do not depend on who calls. A sum that somebody left is not continued: it is begun
// anew, by a new view's members, with new objects.

#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <vector>

#include "libcommon/base/units.h"
#include "libcommon/reduce/edge_codec.h"
#include "libcommon/reduce/post.h"
#include "libcommon/reduce/reduce_plan.h"
#include "libcommon/reduce/residuals.h"
#include "libcommon/wire/buffer.h"

namespace ptrain::reduce {

// The vector of one lane that this member holds.
struct LaneValues {
  LaneIndex lane;
  std::span<const float> values;
};

class AllReduce {
 public:
  // Parts may arrive from now on. `residuals` are this member's, as places_in_sums() has them, and
  // both they and the post outlive this. Throws Error(internal) for a plan with a flaw.
  AllReduce(ReducePlan plan, MemberIndex self, Residuals& residuals, Post& post);
  AllReduce(const AllReduce&) = delete;
  AllReduce& operator=(const AllReduce&) = delete;

  // Our lanes' vectors, each of them, and where the sum goes, which may be one of them. All of it
  // stays as it is until the end, but for the sum. Once. Throws Error(internal) for other lanes
  // than the plan's, or other lengths.
  void begin(std::span<const LaneValues> lanes, std::span<float> sum);

  // Computes and sends our subtotals of one piece; false if there is none to send now. Then the
  // next arrival may change that.
  bool work();

  void arrived(MemberIndex from, const PartName& part, wire::Buffer bytes);

  // The sum is complete, and so is all that others need of us.
  bool done() const;

  // Those of whom something is missing that could be here if they were as far as we are.
  std::vector<MemberIndex> awaited() const;
  // Of parts that wait for others.
  ByteCount held_bytes() const { return ByteCount(held_bytes_); }
  ByteCount most_held_bytes() const;

 private:
  // What we know of the chunk of one owner; our own is among them.
  struct Chunk {
    std::uint32_t pieces = 0;
    std::uint32_t sent = 0;    // of which our subtotals are on their way, or added
    std::uint32_t summed = 0;  // of which all before are here as totals
    std::vector<bool> here;    // the total is
  };
  // A piece of our own chunk that is not summed yet.
  struct OpenPiece {
    std::set<LaneRange> arrived;                // subtotals
    std::map<LaneRange, wire::Buffer> waiting;  // for their siblings
  };

  Chunk& own() { return chunks_[self_.value()]; }
  const Chunk& own() const { return chunks_[self_.value()]; }
  std::uint64_t encoded_bytes(const ElementRange& elements) const;

  void take_subtotal(MemberIndex from, const PartName& part, wire::Buffer bytes);
  void take_total(MemberIndex from, const PartName& part, const wire::Buffer& bytes);
  void check(MemberIndex from, const PartName& part, const wire::Buffer& bytes,
             const ElementRange& elements) const;
  [[noreturn]] void refuse(MemberIndex from, const PartName& part, const std::string& why) const;

  void add(std::uint32_t piece, LaneRange node, wire::Buffer bytes);
  void finish(std::uint32_t piece, const wire::Buffer& bytes);
  void receive_total(Chunk& chunk, std::uint32_t piece, const ElementRange& elements,
                     const wire::Buffer& bytes);

  // The sum of a node all of whose lanes are ours.
  std::span<const float> own_sum(const LaneRange& node, const ElementRange& elements,
                                 std::size_t depth);
  // What we add up of our own chunk.
  wire::Buffer own_part(const LaneRange& node, const ElementRange& elements);
  wire::Buffer sum_of(const wire::Buffer& left, const wire::Buffer& right, const LaneRange& node,
                      const ElementRange& elements);
  // What leaves the node, with what came back of what its edge lost.
  void encode(const LaneRange& node, const ElementRange& elements, std::span<const float> values,
              std::span<std::byte> out);
  wire::Buffer encoded(const LaneRange& node, const ElementRange& elements,
                       std::span<const float> values);
  [[noreturn]] void not_finite(const LaneRange& node, std::uint64_t element) const;
  std::span<float> scratch(std::size_t depth);

  const ReducePlan plan_;
  const MemberIndex self_;
  const LaneRange root_;
  const EdgeCodec& codec_;
  Residuals& residuals_;
  Post& post_;
  std::vector<std::vector<LaneRange>> subtrees_;  // by member
  std::vector<Chunk> chunks_;                     // by owner
  std::map<std::uint32_t, OpenPiece> open_;       // of our own chunk, by piece
  std::uint64_t held_bytes_ = 0;

  bool begun_ = false;
  std::map<LaneIndex, std::span<const float>> lanes_;
  std::span<float> sum_;

  std::uint64_t largest_piece_ = 0;          // elements
  std::vector<std::vector<float>> scratch_;  // a piece for each depth of the tree
  std::vector<float> decoded_;
  std::vector<std::byte> edge_bytes_;
};

}  // namespace ptrain::reduce
