#include "tools/punch/port_options.h"

#include <limits>
#include <set>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/cli/number_range.h"
#include "tools/punch/mapping_keeper.h"

namespace ptrain::punch {

void add_port_options(CLI::App& sub, const std::string& what, PortOptions& options) {
  const auto any_port = cli::whole_range(1, std::numeric_limits<std::uint16_t>::max());
  sub.add_option("--tcp", options.tcp, what + " this TCP port; may be given again")
      ->expected(1)
      ->take_all()
      ->check(any_port);
  sub.add_option("--udp", options.udp, what + " this UDP port; may be given again")
      ->expected(1)
      ->take_all()
      ->check(any_port);
}

std::vector<Port> ports_of(const PortOptions& options) {
  std::set<Port> ports;
  for (const std::uint16_t number : options.tcp) ports.insert({Transport::tcp, number});
  for (const std::uint16_t number : options.udp) ports.insert({Transport::udp, number});
  if (ports.size() > kMaxPorts) {
    throw Error(ErrorKind::usage,
                fmt::format("{} ports, at most {} allowed", ports.size(), kMaxPorts));
  }
  return {ports.begin(), ports.end()};
}

}  // namespace ptrain::punch
