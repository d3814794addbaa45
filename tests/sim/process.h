// One process of a job, from its start to its end: the engine and all that it stands on, but for
// the network and the clock, with a cell whose arithmetic is a digest. Borrows what it is given.

#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "libcommon/base/log.h"
#include "tests/sim/fake_cell.h"
#include "tools/stage/engine/engine.h"
#include "tools/stage/engine/engine_loop.h"
#include "tools/stage/engine/resumption.h"

namespace ptrain::sim {

inline constexpr ByteCount kSendAhead{40};  // less than three messages

// A clock that somebody sets.
class VirtualClock final : public Clock {
 public:
  TimePoint now() const override { return now_; }
  void set(TimePoint now) { now_ = now; }

 private:
  TimePoint now_{};
};

struct ProcessParts {
  const job::Job& job;
  const job::StageSpan& span;
  const stage::JobData* data = nullptr;  // where the stage has some
  stage::Post& post;
  os::Storage& storage;
  const Clock& clock;
  std::function<void()> compute;  // called for every forward and backward
  std::function<bool(Step)> evaluated;
  std::function<void(std::uint32_t)> deepened;  // the driver asks for that depth
};

class Process {
 public:
  explicit Process(ProcessParts parts);

  // Does one thing; false: it waits, or is done. Throws what the engine throws.
  bool turn();
  bool done() const { return engine_ && engine_->done(); }
  std::string waits_for() const;

  void tell_to_stop() { told_to_stop_ = true; }
  bool told_to_stop() const { return told_to_stop_; }
  // It has lost the others, and keeps its share where it has trained.
  void part();
  // What is being written has been.
  void await_disk() { checkpointer_.await_disk(std::chrono::hours(100)); }

  // Precondition: done().
  const stage::TrainingOutcome& outcome() const { return engine_->outcome(); }
  // Why what it holds is more than it may; nullopt: it is not. `deepest` is the largest depth that
  // a driver has asked for.
  std::optional<std::string> excess(std::uint32_t deepest) const;
  std::string called() const;

 private:
  ProcessParts parts_;
  NullLog log_;
  FakeCell cell_;
  stage::Inbox inbox_;
  stage::WaitMeter meter_;
  bool told_to_stop_ = false;
  stage::EngineLoop loop_;
  stage::Checkpointer checkpointer_;
  std::optional<stage::Resumption> resumption_;
  std::optional<stage::Engine> engine_;
};

}  // namespace ptrain::sim
