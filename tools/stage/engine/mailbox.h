// The messages of one stage, by name: send one, or wait for the one that is needed next.
//
// A mesh delivers in order per peer; a schedule asks in its own order. What comes early
// waits here, and what comes twice is dropped. Borrows the mesh (none in a job of one
// stage). One thread, except send(), which any thread may call.
//
// Waiting ends in an Error: the mesh's own when a peer is lost, one that says so when the peer has
// left without sending it, or Abandoned when this
// process was told to stop and what was under way did not end in time. It has no other
// limit: a neighbour that is alive may compute as long as it takes.

#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>

#include "libcommon/base/clock.h"
#include "libcommon/base/error.h"
#include "libcommon/base/units.h"
#include "libcommon/net/mesh.h"
#include "libcommon/os/stop_signal.h"
#include "libcommon/wire/message.h"
#include "tools/stage/engine/wait_report.h"

namespace ptrain::stage {

// Of the ten seconds that a stage has to leave after SIGTERM, these are for the step under
// way, and the rest, less a margin, for its checkpoint.
inline constexpr Duration kFinishStepWithin = std::chrono::seconds(5);
inline constexpr Duration kFinishCheckpointWithin = std::chrono::seconds(9);

// Messages that await_queue() takes in, at most, before it leaves them to their senders.
inline constexpr std::size_t kMostEarlyMessages = 256;
// A receiver that takes nothing of a full queue for so long is taken for dead.
inline constexpr Duration kQueueTimeout = std::chrono::minutes(5);

// What was under way when a stop was requested took too long.
class Abandoned : public Error {
 public:
  explicit Abandoned(const std::string& what) : Error(ErrorKind::try_again, what, "start again") {}
};

class Mailbox {
 public:
  Mailbox(net::Mesh* mesh, StageIndex self, std::uint32_t stages, const os::StopSignal& stop,
          const Clock& clock);

  // Who hears of every wait; borrowed.
  void report_waits_to(WaitReport& report) { waits_ = &report; }

  StageIndex self() const { return self_; }
  std::uint32_t stages() const { return stages_; }
  StageIndex driver() const { return StageIndex(0); }
  StageIndex last() const { return StageIndex(stages_ - 1); }
  bool is_driver() const { return self_ == driver(); }
  bool stop_requested() const { return stop_.requested(); }
  int stop_signal() const { return stop_.signal_number(); }

  void send(StageIndex to, wire::MessageKind kind, Step step, MicrobatchIndex microbatch,
            wire::TensorInfo tensor, wire::Buffer payload);
  void send(StageIndex to, wire::MessageKind kind, Step step, std::span<const std::byte> payload);

  wire::Message await(wire::MessageKind kind, Step step, MicrobatchIndex microbatch,
                      StageIndex source);
  wire::Message await(wire::MessageKind kind, Step step, StageIndex source) {
    return await(kind, step, MicrobatchIndex(0), source);
  }
  // The message if it is there already.
  std::optional<wire::Message> take(wire::MessageKind kind, Step step, StageIndex source);

  // Waits until at most `most` bytes are queued for `to`, so that a sender which has
  // nothing to wait for does not run away from its receiver.
  void await_queue(StageIndex to, ByteCount most);

  // Waits a moment for messages, whatever they are; for who polls with take(), since then, for
  // `what`.
  void await_any(std::string_view what, TimePoint since);
  void wait_is_over(TimePoint since);

  // Throws Abandoned when a stop was requested longer ago than `within`; `what` is what was
  // under way.
  void check_stop(std::string_view what, Duration within = kFinishStepWithin);

  // Tells the other stages that this one has failed and why.
  void fail(std::string_view why);

  Duration waited() const { return waited_; }
  // The part of it in await(), for messages of that kind.
  Duration waited_for(wire::MessageKind kind) const {
    const auto found = waited_for_.find(kind);
    return found == waited_for_.end() ? Duration::zero() : found->second;
  }
  // On the wire, headers included, with all peers.
  ByteCount tx_bytes() const;
  ByteCount rx_bytes() const;
  // How the messages of each neighbour travel now; none without a mesh.
  std::vector<std::pair<StageIndex, net::Traffic>> traffic() const;

 private:
  bool receive_one(Duration timeout);  // whether there was one
  void report_wait(std::string_view what, TimePoint since);

  net::Mesh* mesh_;
  StageIndex self_;
  std::uint32_t stages_;
  const os::StopSignal& stop_;
  const Clock& clock_;
  WaitReport* waits_ = nullptr;
  std::optional<TimePoint> reported_at_;
  std::map<wire::MessageName, wire::Message> early_;
  std::optional<TimePoint> stop_seen_;
  Duration waited_{};
  std::map<wire::MessageKind, Duration> waited_for_;
};

// The other stages that stage `self` talks to: its neighbours, and the driver, which talks
// to all. (The two holders of a tied embedding are the driver and the last stage.)
std::set<StageIndex> correspondents(StageIndex self, std::uint32_t stages);

}  // namespace ptrain::stage
