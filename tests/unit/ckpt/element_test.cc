#include "libcommon/ckpt/element.h"

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include "tests/unit/ckpt/error_of.h"

namespace ptrain::ckpt {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

float widened(Dtype dtype, std::uint16_t bits) {
  float out = 0;
  widen(dtype, std::as_bytes(std::span(&bits, 1)), std::span(&out, 1));
  return out;
}

std::uint16_t rounded(float value) {
  std::uint16_t bits = 0;
  round_to_bfloat16(std::span(&value, 1), std::as_writable_bytes(std::span(&bits, 1)));
  return bits;
}

float with_bits(std::uint32_t bits) { return std::bit_cast<float>(bits); }

TEST(Widen, Float16HasItsValues) {
  EXPECT_EQ(widened(Dtype::f16, 0x3c00), 1.0f);
  EXPECT_EQ(widened(Dtype::f16, 0xc000), -2.0f);
  EXPECT_EQ(widened(Dtype::f16, 0x7bff), 65504.0f);
  EXPECT_EQ(widened(Dtype::f16, 0x0400), 0x1p-14f);  // the least normal number
  EXPECT_EQ(widened(Dtype::f16, 0x03ff), 1023 * 0x1p-24f);
  EXPECT_EQ(widened(Dtype::f16, 0x8001), -0x1p-24f);
  EXPECT_EQ(widened(Dtype::f16, 0x7c00), kInfinity);
  EXPECT_EQ(widened(Dtype::f16, 0xfc00), -kInfinity);
  EXPECT_TRUE(std::isnan(widened(Dtype::f16, 0x7e00)));
  EXPECT_TRUE(std::signbit(widened(Dtype::f16, 0x8000)));
}

TEST(Widen, EveryFiniteFloat16IsItsFractionTimesItsPower) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const int exponent = static_cast<int>(bits >> 10 & 0x1f);
    if (exponent == 0x1f) continue;
    const int fraction = static_cast<int>(bits & 0x3ff);
    const double magnitude =
        exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
    const double expected = (bits & 0x8000) != 0 ? -magnitude : magnitude;
    ASSERT_EQ(widened(Dtype::f16, static_cast<std::uint16_t>(bits)), expected) << bits;
  }
}

TEST(Widen, Bfloat16IsTheUpperHalfOfAFloat32) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = widened(Dtype::bf16, static_cast<std::uint16_t>(bits));
    ASSERT_EQ(std::bit_cast<std::uint32_t>(value), bits << 16);
  }
}

TEST(Widen, Float32StaysAndOthersAreRefused) {
  const float value = with_bits(0x7fa00001);  // even a signalling NaN
  float out = 0;
  widen(Dtype::f32, std::as_bytes(std::span(&value, 1)), std::span(&out, 1));
  EXPECT_EQ(std::memcmp(&out, &value, sizeof(out)), 0);
  for (const Dtype dtype : {Dtype::f64, Dtype::i32, Dtype::f8_e4m3, Dtype::boolean}) {
    EXPECT_FALSE(widens_to_float32(dtype));
    const std::vector<std::byte> bytes(element_bytes(dtype));
    error_of([&] { widen(dtype, bytes, std::span(&out, 1)); }, ErrorKind::internal);
  }
}

TEST(RoundToBfloat16, GoesToNearestAndFromTheMiddleToEven) {
  EXPECT_EQ(rounded(1.0f), 0x3f80);
  EXPECT_EQ(rounded(with_bits(0x3f807fff)), 0x3f80);  // below the middle
  EXPECT_EQ(rounded(with_bits(0x3f808000)), 0x3f80);  // the middle, to even
  EXPECT_EQ(rounded(with_bits(0x3f808001)), 0x3f81);
  EXPECT_EQ(rounded(with_bits(0x3f818000)), 0x3f82);
  EXPECT_EQ(rounded(with_bits(0x3f817fff)), 0x3f81);
  EXPECT_EQ(rounded(-0.0f), 0x8000);
}

TEST(RoundToBfloat16, OverflowsToInfinityAndKeepsNan) {
  EXPECT_EQ(rounded(kInfinity), 0x7f80);
  EXPECT_EQ(rounded(std::numeric_limits<float>::max()), 0x7f80);
  EXPECT_EQ(rounded(with_bits(0xff7f7fff)), 0xff7f);
  for (const std::uint32_t nan : {0x7f800001u, 0x7fffffffu, 0xff80ffffu, 0xffc00000u}) {
    EXPECT_TRUE(std::isnan(widened(Dtype::bf16, rounded(with_bits(nan))))) << nan;
  }
}

TEST(RoundToBfloat16, IsTheInverseOfWidening) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = widened(Dtype::bf16, static_cast<std::uint16_t>(bits));
    if (std::isnan(value)) continue;
    ASSERT_EQ(rounded(value), bits);
  }
}

}  // namespace
}  // namespace ptrain::ckpt
