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
  return TcpState{.repetitions = info.tcpi_retransmits,
                  .probes = info.tcpi_probes,
                  .since_answer = std::chrono::milliseconds(info.tcpi_last_ack_recv),
                  .round_trip = std::chrono::microseconds(info.tcpi_rtt)};
}

bool TcpSilence::noticed(const TcpState& state, TimePoint now) {
  if (state.repetitions == 0 && state.probes == 0) {
    repeating_since_.reset();
    return false;
  }
  if (!repeating_since_) repeating_since_ = now;
  if (state.repetitions == 0 && state.probes < kSilentProbes) return false;
  const Duration limit = std::max<Duration>(kTcpSilence, kSilentRoundTrips * state.round_trip);
  return now - *repeating_since_ >= limit && state.since_answer >= limit;
}

}  // namespace ptrain::os
