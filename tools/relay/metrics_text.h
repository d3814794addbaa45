// What a relay has and has done, in the text format that Prometheus reads. Pure.

#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "tools/relay/carrier/carrier_counters.h"
#include "tools/relay/carrier/echo.h"
#include "tools/relay/control/request_handler.h"

namespace ptrain::relay {

// The control side at one moment.
struct ControlFigures {
  RelayTotals totals{};
  std::uint64_t members = 0;
  std::uint64_t runs = 0;
  std::uint64_t connections = 0;
  std::uint64_t waiting_connections = 0;  // among them
  std::uint64_t cut_connections = 0;
  std::uint64_t dropped_answers = 0;  // nobody took them
  std::uint64_t members_elsewhere = 0;
  std::uint64_t neighbours = 0;
  std::uint64_t neighbours_connected = 0;
};

std::string metrics_text(const ControlFigures& control, const CarrierTotals& carrier,
                         const std::optional<EchoTotals>& echo);

}  // namespace ptrain::relay
