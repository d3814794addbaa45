// Work that never blocks: it does what can be done now, and says what it waits for. The loop that
// drives it (engine_loop.h) gives it messages and time.

#pragma once

#include <optional>
#include <string>

#include "libcommon/base/clock.h"
#include "libcommon/base/error.h"
#include "libcommon/base/units.h"
#include "libcommon/wire/message.h"

namespace ptrain::stage {

// What an activity cannot go on without.
struct Wait {
  enum class For { message, room, sum, others, disk } what = For::message;
  wire::MessageName name{};           // of the message
  std::optional<WorkerIndex> whom{};  // of a message its sender; none: several, or nobody
  std::string words{};                // where neither says it

  bool operator==(const Wait&) const = default;
};

// "activation of step 12, microbatch 3, from stage 0"
std::string to_string(const Wait& wait);

// Of the ten seconds that a stage has to leave after SIGTERM, these are for the step under
// way, and the rest, less a margin, for its checkpoint.
inline constexpr Duration kFinishStepWithin = std::chrono::seconds(5);
inline constexpr Duration kFinishCheckpointWithin = std::chrono::seconds(9);

// What was under way when a stop was requested took too long.
class Abandoned : public Error {
 public:
  explicit Abandoned(const std::string& what) : Error(ErrorKind::try_again, what, "start again") {}
};

class Activity {
 public:
  virtual ~Activity() = default;

  virtual bool done() const = 0;
  // Does one thing that can be done now. False when there is none: then waits_for() says why.
  virtual bool advance() = 0;
  virtual Wait waits_for() const = 0;
  // Gives what is written to the disk behind it so long, at most, to be finished.
  virtual void await_disk(Duration at_most) = 0;

  // Whether what it does next may take long: computing, not deciding.
  virtual bool takes_long() const { return false; }
  // For who is told to stop: what is under way, how long it may take still, and to give it up and
  // go on with what has to be done in any case. False where all of it has to be.
  virtual std::string under_way() const = 0;
  virtual Duration may_take() const { return kFinishStepWithin; }
  virtual bool abandon() { return false; }
};

}  // namespace ptrain::stage
