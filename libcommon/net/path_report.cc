#include "libcommon/net/path_report.h"

#include <fmt/format.h>

namespace ptrain::net {

std::string failures_text(const std::vector<PathRung>& rungs) {
  std::string text;
  for (const PathRung& rung : rungs) {
    if (rung.works) continue;
    text += fmt::format("{}{} {} {}", text.empty() ? "" : ", ", rung.kind, rung.at, rung.outcome);
  }
  return text;
}

}  // namespace ptrain::net
