// The byte meter of one peer, as seen at the sockets. Counts only grow.

#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "libcommon/base/clock.h"
#include "libcommon/base/units.h"
#include "libcommon/net/route.h"

namespace ptrain::net {

// Of the links for one purpose. Payload is tensor bytes, resent ones included; overhead is
// everything else that ptrain and ZeroMQ add (headers, acknowledgements, pings), without TCP and
// below.
struct LinkTraffic {
  ByteCount tx_payload;
  ByteCount tx_overhead;
  ByteCount rx_payload;
  ByteCount rx_overhead;
  bool operator==(const LinkTraffic&) const = default;
};

struct Traffic {
  LinkTraffic control;
  LinkTraffic bulk;
  ByteCount queued;                      // given to send() and not yet acknowledged
  Duration sending{};                    // something was on its way, see sending_time.h
  ByteCount sent;                        // with it, and arrived
  std::string path;                      // "tcp://10.0.0.2:7001", "" while there is none
  std::optional<Route> route{};          // how that reaches the peer
  std::string why{};                     // why that one: "the first that worked", "relayed stalled"
  std::uint64_t path_changes = 0;        // from one route to another
  std::optional<Duration> round_trip{};  // of control messages, smoothed
  std::uint64_t reconnects = 0;          // paths that were replaced by another
  std::uint64_t refused_frames = 0;      // damaged or out of order, not delivered
  std::uint64_t repeated_frames = 0;     // here before, because a path was replaced

  ByteCount tx_bytes() const {
    return sum(control.tx_payload, control.tx_overhead, bulk.tx_payload, bulk.tx_overhead);
  }
  ByteCount rx_bytes() const {
    return sum(control.rx_payload, control.rx_overhead, bulk.rx_payload, bulk.rx_overhead);
  }

 private:
  static ByteCount sum(ByteCount a, ByteCount b, ByteCount c, ByteCount d) {
    return ByteCount(a.value() + b.value() + c.value() + d.value());
  }
};

}  // namespace ptrain::net
