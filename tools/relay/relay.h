// A relay's control side as a whole: registry, control port, neighbours, and the time that passes.
//
// run() is the relay: everything but the writing of its state happens on the thread that calls
// it. The token desk is shared with the data port.

#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "libcommon/base/clock.h"
#include "libcommon/base/log.h"
#include "libcommon/net/keys.h"
#include "libcommon/os/storage.h"
#include "tools/relay/control/access_rules.h"
#include "tools/relay/control/control_port.h"
#include "tools/relay/control/registry.h"
#include "tools/relay/control/request_handler.h"
#include "tools/relay/control/state_keeper.h"
#include "tools/relay/metrics_text.h"
#include "tools/relay/neighbours/neighbourhood.h"

namespace ptrain::relay {

struct RelayOptions {
  net::Endpoint listen;
  net::KeyPair key;
  RegistryLimits limits{};
  ConnectionLimits connections{};
  // Where the registry is kept; none: nowhere.
  std::optional<std::filesystem::path> state{};
  // Asked at the start and on reload. May throw Error: at the start that ends the relay, later
  // the rules stay as they were.
  std::function<AccessRules()> read_access = [] { return AccessRules{}; };
  std::function<void(const RelayEvent&)> observer = [](const RelayEvent&) {};
  TrafficOf traffic_of = no_traffic;  // at the data port
  // Told at every tick, on the relay's thread.
  std::function<void(const ControlFigures&)> figures = [](const ControlFigures&) {};
};

// How often the relay looks at the time and at its signals.
inline constexpr Duration kTick = std::chrono::milliseconds(100);
// What a farewell may take to leave.
inline constexpr Duration kFarewellLinger = std::chrono::seconds(2);

class Relay {
 public:
  // Listens from then on, and knows whom it knew. `storage` and what follows outlive the
  // object. Throws Error(io), and what read_access throws.
  Relay(RelayOptions options, TokenDesk& desk, os::Storage& storage, Log& log, const Clock& clock);

  net::Endpoint listening() const { return port_.listening(); }
  // What members are told of this host's echo.
  void set_echo_ports(std::vector<std::uint16_t> ports) {
    handler_.set_echo_ports(std::move(ports));
  }

  // Serves until `stop` says so, then bids everyone farewell. `reload` says once that the
  // rules are to be read again.
  void run(const std::function<bool()>& stop, const std::function<bool()>& reload);

 private:
  void wait();
  void reload_rules();
  void propagate(const MirrorNews& news);
  ControlFigures figures() const;

  RelayOptions options_;
  TokenDesk& desk_;
  Log& log_;
  const Clock& clock_;
  AccessRules rules_;
  Registry registry_;
  Neighbourhood neighbourhood_;
  RequestHandler handler_;
  ControlPort port_;
  std::unique_ptr<StateKeeper> keeper_;  // last: it writes what is left at the end
};

}  // namespace ptrain::relay
