// The checksum of a payload frame: XXH3-64. It finds memory and transport faults,
// not forgers; those are CURVE's business.

#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace ptrain::wire {

std::uint64_t checksum(std::span<const std::byte> bytes);

}  // namespace ptrain::wire
