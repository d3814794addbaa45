#include "libcommon/os/tcp_tuning.h"

#include <cstdint>
#include <string_view>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "libcommon/os/tcp_silence.h"

namespace ptrain::os {
namespace {

constexpr std::string_view kPreferred = "bbr";
// No limit, but one: with any at all the kernel spreads what it sends.
constexpr std::uint64_t kPacedBytesPerS = std::uint64_t{1} << 40;

}  // namespace

void tune_tcp(int socket, Duration long_round_trip) {
  const auto state = read_tcp_state(socket);
  if (!state || state->round_trip < long_round_trip) return;
  ::setsockopt(socket, IPPROTO_TCP, TCP_CONGESTION, kPreferred.data(),
               static_cast<socklen_t>(kPreferred.size()));
  ::setsockopt(socket, SOL_SOCKET, SO_MAX_PACING_RATE, &kPacedBytesPerS, sizeof kPacedBytesPerS);
}

}  // namespace ptrain::os
