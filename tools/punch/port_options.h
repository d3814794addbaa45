// --tcp and --udp: the ports that a command is about.

#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "libcommon/portmap/mapped_port.h"

namespace ptrain::punch {

struct PortOptions {
  std::vector<std::uint16_t> tcp;
  std::vector<std::uint16_t> udp;
};

// `what` begins their help: "Map". `options` outlives `sub`.
void add_port_options(CLI::App& sub, const std::string& what, PortOptions& options);

// In order, each once. Throws Error(usage) where they are more than kMaxPorts.
std::vector<Port> ports_of(const PortOptions& options);

}  // namespace ptrain::punch
