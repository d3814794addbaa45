// By which host and ports others reach a relay behind a router that maps ports for it
// (PTRAIN_OUTSIDE_FILE; net/outside_ports.h). Pure.

#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "libcommon/net/outside_ports.h"
#include "libcommon/net/relay_word.h"

namespace ptrain::relay {

struct Reached {
  net::TicketRelay relay;  // as tickets name it
  std::optional<std::array<std::uint16_t, 2>> echo{};
  std::vector<std::uint16_t> unmapped{};  // of the control and the data port
  bool operator==(const Reached&) const = default;
};

// `inside` is what we listen at. The host is the outside one, unless the operator has named
// another. An echo is told of only where both of its ports are mapped: members ask it by the
// relay's host.
Reached reached_outside(const Reached& inside, const std::vector<net::OutsidePort>& ports,
                        bool host_is_named);

}  // namespace ptrain::relay
