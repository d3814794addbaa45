// How a TCP connection of ours sends over a link that is long: set once, when it is connected.
//
// A pipeline sends a burst, and pauses while others compute. The usual congestion control (cubic)
// takes the pause for a reason to begin anew, and a burst for a reason to fill the queue of the
// link until it overflows. BBR knows the link's rate, keeps knowing it over a pause, and sends no
// faster. Without it, at least what is sent is spread over the round trip (pacing).
// A trickle through the pause would not help: Linux halves the window of who does not fill it, once
// in each retransmission time-out (RFC 2861). tests/bench/burst.sh has the figures. A short link
// needs neither, and pays for both with timers.

#pragma once

#include <chrono>

#include "libcommon/base/clock.h"

namespace ptrain::os {

// From this round trip on, as the kernel measured it while it connected, a link is long.
inline constexpr Duration kLongRoundTrip = std::chrono::milliseconds(2);

// Over a long link: BBR where the kernel lets a user choose it
// (net.ipv4.tcp_allowed_congestion_control) and no route forbids it; pacing in any case. A socket
// that is not connected TCP stays as it is.
void tune_tcp(int socket, Duration long_round_trip = kLongRoundTrip);

}  // namespace ptrain::os
