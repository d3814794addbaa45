#include "libcommon/elastic/lease.h"

#include <fmt/format.h>

namespace ptrain::elastic {

std::string to_string(const Ballot& ballot) {
  return fmt::format("number {}, round {}, of {}", ballot.number, ballot.round,
                     ballot.driver.empty() ? "nobody" : ballot.driver.text());
}

}  // namespace ptrain::elastic
