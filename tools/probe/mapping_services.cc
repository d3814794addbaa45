#include "tools/probe/mapping_services.h"

#include <utility>
#include <variant>

#include "libcommon/base/boot_clock.h"
#include "libcommon/net/keys.h"
#include "libcommon/os/epoll_loop.h"
#include "libcommon/portmap/default_routes.h"
#include "libcommon/portmap/gateway_services.h"
#include "libcommon/portmap/mapped_port.h"

namespace ptrain::probe_tool {
namespace {

std::vector<punch::Gateway> gateways_of_both_families() {
  std::vector<punch::Gateway> gateways = punch::v4_gateways();
  for (punch::Gateway& each : punch::v6_gateways()) gateways.push_back(std::move(each));
  return gateways;
}

void note(MappingService& service, const punch::Outcome& outcome) {
  if (const auto* alive = std::get_if<punch::Alive>(&outcome.what)) {
    service.answers = true;
    service.why.clear();
    service.outside = alive->outside;
    if (alive->outside) service.worthless = punch::worthless(*alive->outside).why;
  } else if (const auto* refused = std::get_if<punch::Refused>(&outcome.what)) {
    service.why = refused->reason;
  }
}

}  // namespace

std::vector<MappingService> find_mapping_services() {
  const BootClock clock;
  os::EpollLoop loop(clock);
  std::vector<MappingService> found;
  std::size_t awaited = 0;
  // A look shows no key to anybody: it is for what is mapped.
  punch::GatewayServices services(loop, gateways_of_both_families(), net::KeyPair::generate(),
                                  [&](const punch::Outcome& outcome) {
                                    note(found[outcome.source], outcome);
                                    if (--awaited == 0) loop.stop();
                                  });
  if (services.size() == 0) return {};
  for (punch::SourceNumber i = 0; i < services.size(); ++i) {
    found.push_back({.service = punch::name_of(services.service(i)),
                     .gateway = to_string(services.gateway(i)),
                     .why = "no answer"});
  }
  awaited = found.size();
  const auto timer = loop.timer([&] { loop.stop(); });
  timer->set(clock.now() + kMappingServicesTime);
  loop.defer([&] {
    for (punch::SourceNumber i = 0; i < services.size(); ++i) {
      services.ask({.source = i, .what = punch::Look{}});
    }
  });
  loop.run();
  return found;
}

}  // namespace ptrain::probe_tool
