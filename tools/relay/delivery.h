// What has become of a message that a neighbour was to hand to a member of its own.

#pragma once

#include <cstdint>

namespace ptrain::relay {

enum class Delivery : std::uint8_t {
  made,
  absent,  // the neighbour has seen the member's connection end, and it has no other
  failed,  // nobody can say
};

}  // namespace ptrain::relay
