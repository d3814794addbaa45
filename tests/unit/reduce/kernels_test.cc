#include "libcommon/reduce/kernels/kernels.h"

#include <bit>
#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "libcommon/base/sha256.h"
#include "tests/unit/reduce/lane_numbers.h"

namespace ptrain::reduce {
namespace {

constexpr std::size_t kSize = 3 * kIntegerBlock + 77;

const std::byte* bytes(const std::vector<float>& x) { return std::as_bytes(std::span(x)).data(); }

// Sizes at which scales and roundings are at their limits, too.
std::vector<float> hard_numbers() {
  std::vector<float> x = lane_numbers(kSize, 1);
  x[3] = 0;
  x[4] = -0.0F;
  x[5] = std::numeric_limits<float>::denorm_min();
  x[kIntegerBlock + 1] = std::numeric_limits<float>::max();
  x[kIntegerBlock + 2] = -std::numeric_limits<float>::max();
  for (std::size_t i = 0; i < kIntegerBlock; ++i) x[2 * kIntegerBlock + i] = 1e-36F;
  return x;
}

// All that the kernels of one instruction set make of some numbers, for sizes around a vector's.
Sha256Digest everything(InstructionSet set) {
  const Kernels& k = kernels_for(set);
  const std::vector<float> x = hard_numbers();
  const std::vector<float> y = lane_numbers(kSize, 2);
  Sha256 digest;
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{31}, std::size_t{127},
                                 std::size_t{128}, std::size_t{129}, kSize}) {
    std::vector<std::byte> scales(4 * 8);
    std::vector<std::byte> encoded(4 * kSize + 1);
    // One byte off, as what arrives may lie anywhere.
    std::byte* const at = encoded.data() + 1;
    std::vector<float> out(kSize);
    const auto note = [&] {
      digest.update(encoded).update(scales).update(std::as_bytes(std::span(out)));
    };
    k.sum(bytes(x), bytes(y), at, size);
    k.add(at, out.data(), size);
    k.add(at, out.data(), size);
    note();
    k.keep_lost(y.data(), 0.95F, out.data(), size);
    note();
    k.to_bf16(x.data(), at, size);
    k.from_bf16(at, out.data(), size);
    k.add_bf16(at, out.data(), size);
    note();
    k.to_int8(x.data(), scales.data(), at, size);
    k.from_int8(scales.data(), at, out.data(), size);
    k.add_int8(scales.data(), at, out.data(), size);
    note();
    k.to_int4(x.data(), scales.data(), at, size);
    k.from_int4(scales.data(), at, out.data(), size);
    k.add_int4(scales.data(), at, out.data(), size);
    note();
    const std::int32_t largest[] = {k.largest_magnitude(bytes(x), size),
                                    k.largest_magnitude_bf16(bytes(x), size)};
    digest.update(std::as_bytes(std::span(largest)));
  }
  return digest.digest();
}

// Computed by another program, in Python, which rounds as IEEE 754 says.
TEST(ReduceKernels, EveryInstructionSetGivesTheBitsThatEveryMachineGives) {
  for (const InstructionSet set : instruction_sets()) {
    EXPECT_EQ(to_hex(everything(set)),
              "5df199e6bc2d9571ec1bac28b9b81ff90fed3a26fe34708a30a3fbaff49b0b44")
        << "instruction set " << static_cast<int>(set);
  }
}

// Level times scale is rounded before it is added: fused, the rounding would be left over.
TEST(ReduceKernels, AProductAndASumAreNotFused) {
  const std::vector<float> x = lane_numbers(kSize, 15);
  for (const InstructionSet set : instruction_sets()) {
    const Kernels& k = kernels_for(set);
    std::vector<std::byte> scales(4 * 4);
    std::vector<std::byte> encoded(kSize);
    std::vector<float> back(kSize);
    const auto opposite = [&] {
      for (float& value : back) value = -value;
    };
    k.to_int8(x.data(), scales.data(), encoded.data(), kSize);
    k.from_int8(scales.data(), encoded.data(), back.data(), kSize);
    opposite();
    k.add_int8(scales.data(), encoded.data(), back.data(), kSize);
    for (const float left : back) EXPECT_EQ(left, 0);
    k.to_int4(x.data(), scales.data(), encoded.data(), kSize);
    k.from_int4(scales.data(), encoded.data(), back.data(), kSize);
    opposite();
    k.add_int4(scales.data(), encoded.data(), back.data(), kSize);
    for (const float left : back) EXPECT_EQ(left, 0);
  }
}

TEST(ReduceKernels, Bfloat16IsRoundedToNearestEven) {
  const auto rounded = [](std::uint32_t bits) {
    const auto x = std::bit_cast<float>(bits);
    std::uint16_t out = 0;
    kernels().to_bf16(&x, reinterpret_cast<std::byte*>(&out), 1);
    return out;
  };
  EXPECT_EQ(rounded(0x3f808000), 0x3f80);  // a tie, down to even
  EXPECT_EQ(rounded(0x3f818000), 0x3f82);  // a tie, up to even
  EXPECT_EQ(rounded(0x3f808001), 0x3f81);
  EXPECT_EQ(rounded(0xbf807fff), 0xbf80);
  EXPECT_EQ(rounded(0x80000000), 0x8000);
  EXPECT_EQ(rounded(0x7f7f7fff), 0x7f7f);
  EXPECT_EQ(rounded(0x7f7fffff), 0x7f7f);  // not infinite
  EXPECT_EQ(rounded(0xff7fffff), 0xff7f);
}

TEST(ReduceKernels, WhatIsNotFiniteIsFoundWhereverItIs) {
  const float bad[] = {std::numeric_limits<float>::infinity(),
                       -std::numeric_limits<float>::infinity(), std::nanf(""), -std::nanf("")};
  for (const InstructionSet set : instruction_sets()) {
    const Kernels& k = kernels_for(set);
    for (std::size_t i = 0; i < kSize; ++i) {
      std::vector<float> x = lane_numbers(kSize, 3);
      x[0] = std::numeric_limits<float>::max();
      EXPECT_LT(k.largest_magnitude(bytes(x), kSize), kInfinityFp32);
      x[i] = bad[i % 4];
      EXPECT_GE(k.largest_magnitude(bytes(x), kSize), kInfinityFp32);
      std::vector<std::byte> scales(4 * 4);
      std::vector<std::byte> out(kSize);
      EXPECT_EQ(k.to_int8(x.data(), scales.data(), out.data(), kSize),
                i / kIntegerBlock * kIntegerBlock);
      EXPECT_EQ(k.to_int4(x.data(), scales.data(), out.data(), kSize),
                i / kIntegerBlock * kIntegerBlock);
    }
  }
}

}  // namespace
}  // namespace ptrain::reduce
