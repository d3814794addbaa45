// The sum of a stage's gradients over all lanes, in one step: an AllReduce (libcommon/reduce) whose
// members are the workers that hold the stage, over the post. Nothing here blocks. Borrows post and
// inbox, and from begin() on the gradients. One thread.
//
// Throws Error(corrupt) for a member that sends what cannot be.

#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "libcommon/reduce/all_reduce.h"
#include "tools/stage/engine/cell_state.h"
#include "tools/stage/engine/inbox.h"
#include "tools/stage/engine/post.h"

namespace ptrain::stage {

class LaneSum : private reduce::Post {
 public:
  // Every gradient has as many elements.
  LaneSum(stage::Post& post, Inbox& inbox, Step step, std::uint64_t elements);

  // Those of our lanes; the sum over all lanes goes into the first of them.
  void begin(std::span<const LaneGradient> lanes);
  // Does one thing; false when something must come first.
  bool advance();
  bool done() const { return sum_.done(); }
  // One of those of whom something is missing.
  std::optional<WorkerIndex> awaited() const;
  // Sent so far.
  ByteCount sent() const { return sent_; }

 private:
  void send(reduce::MemberIndex to, const reduce::PartName& part, wire::Buffer bytes) override;
  reduce::ReducePlan plan(std::uint64_t elements) const;
  reduce::MemberIndex member(WorkerIndex worker) const;

  stage::Post& post_;
  Inbox& inbox_;
  Step step_;
  std::vector<WorkerIndex> members_;
  ByteCount sent_{};
  reduce::Residuals residuals_;  // none: nothing is lost on an edge
  reduce::AllReduce sum_;
};

// A part of a sum as the number of a message's part, and back.
std::uint64_t number_of(const reduce::PartName& part);
reduce::PartName part_of(std::uint64_t number);

}  // namespace ptrain::stage
