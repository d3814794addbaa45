// Random bytes that follow from a seed.

#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <span>

#include "libcommon/base/random_source.h"

namespace ptrain::sim {

class SeededRandom final : public RandomSource {
 public:
  explicit SeededRandom(std::uint64_t seed) : engine_(seed) {}
  void fill(std::span<std::byte> bytes) override {
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(engine_());
  }

 private:
  std::mt19937_64 engine_;
};

}  // namespace ptrain::sim
