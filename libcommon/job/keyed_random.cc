#include "libcommon/job/keyed_random.h"

#include <cmath>
#include <cstddef>
#include <numbers>

#include "libcommon/base/sha256.h"

namespace ptrain::job {
namespace {

// Bytes are laid out by hand, so that the key is the same on every byte order.
PhiloxKey stream_key(std::uint64_t seed, std::string_view stream_name) {
  std::array<std::byte, 8> seed_bytes;
  for (std::size_t i = 0; i < seed_bytes.size(); ++i) seed_bytes[i] = std::byte(seed >> (8 * i));
  const Sha256Digest digest = Sha256().update(seed_bytes).update(stream_name).digest();
  const auto word = [&](std::size_t at) {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < 4; ++i) value |= std::uint32_t(digest[at + i]) << (8 * i);
    return value;
  };
  return {word(0), word(4)};
}

// The 128 bits of block `index` of a stream, as two 64-bit halves.
std::array<std::uint64_t, 2> block(PhiloxKey key, std::uint64_t index) {
  const PhiloxCounter words =
      philox4x32_10({std::uint32_t(index), std::uint32_t(index >> 32), 0, 0}, key);
  return {words[0] | (std::uint64_t(words[1]) << 32), words[2] | (std::uint64_t(words[3]) << 32)};
}

// The upper 53 bits, scaled: every result is exact.
double unit_interval(std::uint64_t bits) { return static_cast<double>(bits >> 11) * 0x1.0p-53; }

std::array<double, 2> box_muller(const std::array<std::uint64_t, 2>& halves) {
  // 1 - u lies in (0, 1], where the logarithm is finite.
  const double radius = std::sqrt(-2.0 * std::log(1.0 - unit_interval(halves[0])));
  const double angle = 2.0 * std::numbers::pi * unit_interval(halves[1]);
  return {radius * std::cos(angle), radius * std::sin(angle)};
}

}  // namespace

PhiloxCounter philox4x32_10(PhiloxCounter counter, PhiloxKey key) {
  // Multipliers and Weyl constants of Salmon et al. 2011, section 3.3 and table 2.
  constexpr std::uint64_t kMultiplier0 = 0xD2511F53;
  constexpr std::uint64_t kMultiplier1 = 0xCD9E8D57;
  constexpr std::uint32_t kWeyl0 = 0x9E3779B9;
  constexpr std::uint32_t kWeyl1 = 0xBB67AE85;
  constexpr int kRounds = 10;
  for (int round = 0; round < kRounds; ++round) {
    const std::uint64_t product0 = kMultiplier0 * counter[0];
    const std::uint64_t product1 = kMultiplier1 * counter[2];
    counter = {std::uint32_t(product1 >> 32) ^ counter[1] ^ key[0], std::uint32_t(product1),
               std::uint32_t(product0 >> 32) ^ counter[3] ^ key[1], std::uint32_t(product0)};
    key[0] += kWeyl0;
    key[1] += kWeyl1;
  }
  return counter;
}

KeyedRandom::KeyedRandom(std::uint64_t seed, std::string_view stream_name)
    : key_(stream_key(seed, stream_name)) {}

double KeyedRandom::uniform() { return unit_interval(bits()); }

double KeyedRandom::normal() {
  const std::uint64_t first = bits();
  return box_muller({first, bits()})[0];
}

std::uint64_t KeyedRandom::bits() {
  const std::uint64_t half = next_half_++;
  return block(key_, half / 2)[half % 2];
}

void fill_normal(std::span<float> values, std::uint64_t seed, std::string_view stream_name,
                 double stddev) {
  const PhiloxKey key = stream_key(seed, stream_name);
  for (std::size_t i = 0; i < values.size(); i += 2) {
    const std::array<double, 2> pair = box_muller(block(key, i / 2));
    values[i] = static_cast<float>(stddev * pair[0]);
    if (i + 1 < values.size()) values[i + 1] = static_cast<float>(stddev * pair[1]);
  }
}

}  // namespace ptrain::job
