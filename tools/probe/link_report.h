// What is known of a link, for people and for programs. Pure but for report_of().

#pragma once

#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include "libcommon/probe/link_test.h"
#include "libcommon/probe/network_interface.h"

namespace ptrain::probe_tool {

struct LinkReport {
  std::string peer;  // as it was asked for
  probe::LinkFigures figures;
  std::optional<probe::NetworkInterface> interface {};
};

// Looks up which interface the path leads through.
LinkReport report_of(std::string peer, probe::LinkFigures figures);

nlohmann::ordered_json to_json(const LinkReport& report);
// A few lines, each with its end.
std::string to_table(const LinkReport& report);
// One line, without its end.
std::string to_line(const LinkReport& report);

}  // namespace ptrain::probe_tool
