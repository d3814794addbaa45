#include "libcommon/os/tcp_silence.h"

#include <algorithm>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace ptrain::os {

std::optional<TcpState> read_tcp_state(int socket) {
  tcp_info info{};
  socklen_t length = sizeof info;
  if (::getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &length) != 0) return std::nullopt;
  // Bytes that find no route are not even sent once, and count as probes.
  return TcpState{.repetitions = std::uint32_t{info.tcpi_retransmits} + info.tcpi_probes,
                  .since_answer = std::chrono::milliseconds(info.tcpi_last_ack_recv),
                  .round_trip = std::chrono::microseconds(info.tcpi_rtt)};
}

bool TcpSilence::noticed(const TcpState& state, TimePoint now) {
  if (state.repetitions == 0) {
    repeating_since_.reset();
    return false;
  }
  if (!repeating_since_) repeating_since_ = now;
  const Duration limit = std::max<Duration>(kTcpSilence, kSilentRoundTrips * state.round_trip);
  return now - *repeating_since_ >= limit && state.since_answer >= limit;
}

}  // namespace ptrain::os
