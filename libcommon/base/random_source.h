// Unpredictable bytes, passed in, so that tokens and nonces can be foreseen in a test and
// nowhere else.

#pragma once

#include <array>
#include <cstddef>
#include <span>

namespace ptrain {

class RandomSource {
 public:
  virtual ~RandomSource() = default;
  virtual void fill(std::span<std::byte> bytes) = 0;

  template <std::size_t N>
  std::array<std::byte, N> bytes() {
    std::array<std::byte, N> result;
    fill(result);
    return result;
  }
};

// The kernel's generator, fit for keys. Any thread.
class SystemRandom final : public RandomSource {
 public:
  void fill(std::span<std::byte> bytes) override;
};

}  // namespace ptrain
