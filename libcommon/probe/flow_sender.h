// Sends bytes to be measured: as fast as the link takes them, and never more than the limits say.
//
// Waits for nothing: pump() hands over what may go now, patience() says when to call it again. Its
// owner's thread only.

#pragma once

#include <cstdint>

#include "libcommon/base/clock.h"
#include "libcommon/net/node.h"
#include "libcommon/net/worker_id.h"
#include "libcommon/probe/send_window.h"
#include "libcommon/wire/buffer.h"
#include "libcommon/wire/probe.h"

namespace ptrain::probe {

struct Flow {
  net::WorkerId to;
  std::uint64_t test = 0;
  wire::ProbeLimits limits;
  Duration round_trip{};
};

class FlowSender {
 public:
  // The node outlives the object.
  FlowSender(net::Node& node, Flow flow, TimePoint now);

  void pump(TimePoint now);
  // Nothing more is handed over.
  void halt() { over_ = true; }
  bool over() const { return over_; }
  std::uint64_t sent_bytes() const { return sent_; }  // as TCP carries them
  const Flow& flow() const { return flow_; }
  Duration patience(TimePoint now) const;

 private:
  std::size_t next_payload() const;
  bool pace_allows(std::uint64_t bytes, TimePoint now) const;

  net::Node& node_;
  Flow flow_;
  TimePoint begun_;
  SendWindow window_;
  wire::Buffer bytes_;  // of which messages are slices
  std::uint64_t sent_ = 0;
  std::uint64_t cost_ = 0;  // of the same, as the node counts it
  bool over_ = false;
};

}  // namespace ptrain::probe
