// Numbers like gradients: of both signs, of many sizes, the same on every machine.

#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

namespace ptrain::reduce {

inline std::uint64_t scrambled(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15ULL;  // splitmix64
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

// Magnitudes from 2^-12 to 1; made of bits, so no arithmetic of the machine is in them.
inline std::vector<float> lane_numbers(std::size_t size, std::uint64_t seed) {
  std::vector<float> values(size);
  for (std::size_t i = 0; i < size; ++i) {
    const std::uint64_t random = scrambled(seed * 0x100000001b3ULL + i);
    const auto sign = static_cast<std::uint32_t>(random >> 63 << 31);
    const auto exponent = static_cast<std::uint32_t>(126 - (random >> 32) % 12) << 23;
    const auto mantissa = static_cast<std::uint32_t>(random & 0x7fffffU);
    const std::uint32_t bits = sign | exponent | mantissa;
    std::memcpy(&values[i], &bits, sizeof bits);
  }
  return values;
}

}  // namespace ptrain::reduce
