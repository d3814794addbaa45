// A server of probes that lies: it claims to have received four times what was sent to it. Listens
// on loopback, prints its endpoint, and goes on until it is ended.

#include <cstdint>
#include <cstdio>
#include <memory>
#include <variant>

#include "libcommon/base/clock.h"
#include "libcommon/base/log.h"
#include "libcommon/net/guest_admission.h"
#include "libcommon/net/node.h"
#include "libcommon/probe/probing.h"
#include "libcommon/wire/probe.h"

namespace {

using namespace ptrain;

constexpr std::uint64_t kTimes = 4;

net::NodeOptions node_options() {
  net::NodeOptions options;
  options.introduction = probe::introduction();
  options.self = probe::kServerPlace;
  options.counterpart = probe::kAskerPlace;
  options.listen = net::parse_endpoint("tcp://127.0.0.1:0");
  return options;
}

void answer(net::Node& node, const net::Delivery& delivery, std::uint64_t& bytes) {
  const auto tell = [&](const wire::ProbeReport& report) {
    node.send(delivery.from, wire::Urgency::control,
              wire::probe_report_message(delivery.message.name.step.value(), report));
  };
  if (delivery.message.name.kind == wire::MessageKind::probe_bytes) {
    bytes += probe::carried(delivery.message.payload.size());
    return tell(wire::ProbeArrived{.bytes = ByteCount(kTimes * bytes), .since = {}});
  }
  const auto order = std::get<wire::ProbeOrder>(wire::read_probe_order(delivery.message));
  if (const auto* wanted = std::get_if<wire::ProbeReserve>(&order)) {
    tell(wire::ProbeGranted{wanted->limits});
  } else if (const auto* echo = std::get_if<wire::ProbeEcho>(&order)) {
    tell(*echo);
  }
}

}  // namespace

int main() {
  const SteadyClock clock;
  StderrLog log("lying_probe");
  net::GuestRules rules;
  rules.introduction = probe::introduction();
  net::Node node(node_options(), std::make_unique<net::GuestAdmission>(rules), log, clock);
  node.start();
  std::printf("%s\n", to_string(node.listening()).c_str());
  std::fflush(stdout);
  std::uint64_t bytes = 0;
  while (true) {
    const auto event = node.next(std::chrono::seconds(1));
    const auto* delivery = event ? std::get_if<net::Delivery>(&*event) : nullptr;
    if (delivery != nullptr) answer(node, *delivery, bytes);
  }
}
