// Random numbers as a function of (seed, stream name, index), never of the order
// of calls: however a model is cut, a parameter starts from the same values.
//
// The generator is Philox4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random
// numbers: as easy as 1, 2, 3", SC 2011). Uniform numbers are the same on every
// machine; normal ones are as stable as the math library's log, sin and cos.

#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace ptrain::job {

using PhiloxCounter = std::array<std::uint32_t, 4>;
using PhiloxKey = std::array<std::uint32_t, 2>;

PhiloxCounter philox4x32_10(PhiloxCounter counter, PhiloxKey key);

// A stream of numbers from the start; copied, it continues on its own. Not for
// cryptography. One thread at a time.
class KeyedRandom {
 public:
  KeyedRandom(std::uint64_t seed, std::string_view stream_name);

  // In [0, 1), with 53 random bits.
  double uniform();
  // Mean 0, standard deviation 1. Takes as much of the stream as two uniforms.
  double normal();

 private:
  std::uint64_t bits();

  PhiloxKey key_;
  std::uint64_t next_half_ = 0;  // 64-bit half blocks taken so far
};

// values[i] = stddev x the i-th normal number of the stream (Box and Muller 1958, in double,
// then rounded): depends on seed, stream name and i only.
void fill_normal(std::span<float> values, std::uint64_t seed, std::string_view stream_name,
                 double stddev);

}  // namespace ptrain::job
