// Whether a TCP connection's other end has fallen silent: what we sent is repeated, and nothing
// acknowledges it. Pure, but for read_tcp_state().
//
// TCP itself gives up only after minutes, and meanwhile repeats after twice as long each time:
// after an outage it may be silent for as long again. A connection made anew is not. The judgement
// is of acknowledgements by the other kernel, so neither a slow link, nor a long queue, nor a
// receiver that takes nothing for a while looks like silence (TCP_USER_TIMEOUT counts the latter as
// well).

#pragma once

#include <cstdint>
#include <optional>

#include "libcommon/base/clock.h"

namespace ptrain::os {

// Three repetitions on a usual path: at 0.2 to 0.4, 0.6 to 1.2, 1.4 to 2.8 s.
inline constexpr Duration kTcpSilence = std::chrono::seconds(2);
// A queue may grow faster than TCP learns of it.
inline constexpr int kSilentRoundTrips = 4;
// A full receiver is probed ever more rarely, so that one probe which is lost looks like silence
// until the next. In 2 s there are three where nothing answers, even where bytes find no route.
inline constexpr std::uint32_t kSilentProbes = 3;
// How often to look.
inline constexpr Duration kTcpSilenceInterval = std::chrono::milliseconds(250);

struct TcpState {
  std::uint32_t repetitions = 0;  // of the oldest unacknowledged bytes
  // Unanswered: to a full receiver, or to an idle one. Bytes that find no route are not even sent
  // once, and count as probes.
  std::uint32_t probes = 0;
  Duration since_answer{};  // the last segment that acknowledged anything
  Duration round_trip{};    // smoothed
};

// nullopt where `socket` is no TCP connection, or none any more.
std::optional<TcpState> read_tcp_state(int socket);

class TcpSilence {
 public:
  // True when the connection is of no more use. To be called every kTcpSilenceInterval.
  bool noticed(const TcpState& state, TimePoint now);

 private:
  std::optional<TimePoint> repeating_since_;
};

}  // namespace ptrain::os
