#include "tools/relay/control/relay_event.h"

#include <array>
#include <cstddef>

namespace ptrain::relay {

std::string_view name_of(RelayEvent::Kind kind) {
  constexpr std::array<std::string_view, 9> kNames{
      "registered", "left",    "expired",        "revoked",       "displaced",
      "introduced", "refused", "neighbour_came", "neighbour_went"};
  return kNames[static_cast<std::size_t>(kind)];
}

}  // namespace ptrain::relay
