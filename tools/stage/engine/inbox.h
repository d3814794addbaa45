// The messages that have come and are not consumed, by name.
//
// A session delivers in order per peer and urgency; a step asks in its own order. What comes early
// waits here with the credit that it takes of its sender, so that all of it is bounded by what the
// sessions grant; what comes again after it was consumed is dropped (parts of a sum over lanes,
// which are consumed in any order, are kept until the step ends, and the sum drops them). A name
// that no cell of this job sends to one of ours is refused: the message is of another job, or
// forged. One thread.

#pragma once

#include <map>
#include <optional>
#include <string>
#include <tuple>

#include "tools/stage/engine/post.h"

namespace ptrain::stage {

class Inbox {
 public:
  // A step has so many microbatches, in all lanes.
  Inbox(const Place& place, std::uint32_t microbatches);

  // Every step before `step` is done: of those, only what a checkpoint needs is taken from now on.
  void reached(Step step);

  // Throws Error(corrupt) that names the message where nobody should have sent it to us.
  void put(Letter letter);
  bool has(const wire::MessageName& name) const { return letters_.contains(name); }
  // Consumes the message.
  std::optional<wire::Message> take(const wire::MessageName& name);
  // The same, of any message of that kind and step, without a microbatch.
  std::optional<wire::Message> take_any(wire::MessageKind kind, Step step);

  std::size_t size() const { return letters_.size(); }

 private:
  std::optional<std::string> flaw_of(const wire::MessageName& name) const;
  bool over(const wire::MessageName& name) const;

  Place place_;
  std::uint32_t microbatches_;
  std::optional<Step> step_;  // none: how far the others are is not known yet
  std::map<wire::MessageName, Letter> letters_;
  // The last of each kind that was consumed of each stage: they are consumed in their order.
  using Line = std::tuple<wire::MessageKind, StageIndex, LaneIndex>;
  using Position = std::tuple<Step, MicrobatchIndex, std::uint64_t>;
  std::map<Line, Position> consumed_;
};

wire::MessageName name_of(wire::MessageKind kind, Step step, const job::CellIndex& source,
                          MicrobatchIndex microbatch = MicrobatchIndex(0), std::uint64_t part = 0);

}  // namespace ptrain::stage
