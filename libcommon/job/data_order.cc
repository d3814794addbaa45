#include "libcommon/job/data_order.h"

#include <bit>

#include "libcommon/base/error.h"

namespace ptrain::job {
namespace {

// A bijection of 64-bit words in which every input bit reaches every output bit: the
// finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
std::uint64_t mix(std::uint64_t x) {
  x += 0x9E3779B97F4A7C15;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
  return x ^ (x >> 31);
}

// A keyed permutation of the numbers of 2 x half_bits bits.
class FeistelNetwork {
 public:
  FeistelNetwork(std::uint64_t key, int half_bits)
      : key_(key), half_bits_(half_bits), mask_((std::uint64_t{1} << half_bits) - 1) {}

  std::uint64_t operator()(std::uint64_t value) const {
    std::uint64_t left = value >> half_bits_;
    std::uint64_t right = value & mask_;
    for (std::uint64_t round = 0; round < kRounds; ++round) {
      const std::uint64_t next = left ^ (mix(mix(key_ ^ round) ^ right) & mask_);
      left = right;
      right = next;
    }
    return (left << half_bits_) | right;
  }

 private:
  // Four suffice for large halves (Luby and Rackoff 1988); halves of a few bits need more
  // to look shuffled.
  static constexpr std::uint64_t kRounds = 8;

  std::uint64_t key_;
  int half_bits_;
  std::uint64_t mask_;
};

}  // namespace

std::uint64_t sample_index(std::uint64_t seed, std::uint64_t position, std::uint64_t windows) {
  if (windows == 0) throw Error(ErrorKind::internal, "sample_index: no windows to choose from");
  if (windows == 1) return 0;
  const std::uint64_t pass = position / windows;
  // Fewer than 4 x windows numbers, so a walk takes fewer than 4 steps on average; it ends
  // because a permutation leads from a number inside back to one inside.
  const int half_bits = (std::bit_width(windows - 1) + 1) / 2;
  const FeistelNetwork permute(mix(mix(seed) ^ pass), half_bits);
  std::uint64_t index = permute(position % windows);
  while (index >= windows) index = permute(index);
  return index;
}

}  // namespace ptrain::job
