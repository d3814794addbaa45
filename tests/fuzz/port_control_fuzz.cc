// Fuzzes what a gateway, or who poses as one, answers to requests for port mappings, byte for byte
// as they like it. The parsers take it or leave it; what is taken can only be an answer to what was
// asked, each question is answered once, and a mapping by PCP is granted to its nonce alone.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

#include "libcommon/portmap/port_control.h"
#include "tools/punch/announcements.h"

namespace {

using namespace ptrain;
using namespace ptrain::punch;

constexpr Port kPorts[] = {{Transport::tcp, 7100}, {Transport::udp, 7101}};

PcpNonce nonce_of(const Port& port) {
  PcpNonce nonce{1, 2, 3};
  nonce[11] = static_cast<std::uint8_t>(port.number);
  return nonce;
}

bool holds_nonce(std::span<const std::uint8_t> packet, const PcpNonce& nonce) {
  return std::search(packet.begin(), packet.end(), nonce.begin(), nonce.end()) != packet.end();
}

}  // namespace

// The input is cut into packets: each begins with its length in a byte.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  PortControl control(*net::parse_address("192.168.1.2"), nonce_of);
  const TimePoint now{};
  for (const Service service : {Service::pcp, Service::nat_pmp}) {
    control.look(service, now);
    control.map(service, {.port = kPorts[0], .lifetime = std::chrono::seconds(600)}, now);
    control.unmap(service, {.port = kPorts[1]}, now);
  }
  std::size_t open = control.due(now).size();
  std::span<const std::uint8_t> rest(data, size);
  while (!rest.empty()) {
    const std::size_t length = std::min<std::size_t>(rest[0], rest.size() - 1);
    const auto packet = rest.subspan(1, length);
    rest = rest.subspan(1 + length);
    static_cast<void>(is_announcement(packet));
    const auto replies = control.receive(packet);
    if (replies.size() > open) std::abort();
    open -= replies.size();
    for (const PortControl::Reply& reply : replies) {
      if (!std::holds_alternative<Granted>(reply.what)) continue;
      if (reply.removal || reply.port != kPorts[0]) std::abort();
      if (reply.service == Service::pcp && !holds_nonce(packet, nonce_of(kPorts[0]))) std::abort();
    }
  }
  if (control.unreachable().size() != open) std::abort();
  return 0;
}
