#include "libcommon/reduce/edge_codec.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include <gtest/gtest.h>

#include "libcommon/base/sha256.h"
#include "libcommon/reduce/chunking.h"
#include "libcommon/reduce/kernels/kernels.h"
#include "tests/unit/reduce/lane_numbers.h"

namespace ptrain::reduce {
namespace {

std::vector<std::byte> encoded(const EdgeCodec& codec, const std::vector<float>& values) {
  std::vector<std::byte> bytes(codec.encoded_size(values.size()).value());
  EXPECT_EQ(codec.encode(values, bytes), std::nullopt);
  EXPECT_EQ(codec.flaw_of(bytes, values.size()), std::nullopt);
  return bytes;
}

std::vector<float> decoded(const EdgeCodec& codec, const std::vector<std::byte>& bytes,
                           std::size_t size) {
  std::vector<float> values(size, 99);
  codec.decode(bytes, values);
  return values;
}

std::vector<float> there_and_back(const EdgeCodec& codec, const std::vector<float>& values) {
  return decoded(codec, encoded(codec, values), values.size());
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

class EveryEdgeCodec : public testing::TestWithParam<std::uint8_t> {
 protected:
  const EdgeCodec& codec = edge_codec(static_cast<EdgeCodecKind>(GetParam()));
};

INSTANTIATE_TEST_SUITE_P(Codecs, EveryEdgeCodec, testing::Range(std::uint8_t{0}, kEdgeCodecKinds),
                         [](const auto& codec_info) {
                           return std::string(
                               edge_codec(static_cast<EdgeCodecKind>(codec_info.param)).name());
                         });

TEST_P(EveryEdgeCodec, PartsThatBeginAtBlocksDecodeToWhatTheWholeDecodesTo) {
  for (const std::size_t size : {std::size_t{1}, std::size_t{127}, std::size_t{129}, kBlockElements,
                                 3 * kBlockElements, 3 * kBlockElements + 193}) {
    const std::vector<float> values = lane_numbers(size, 4);
    const std::vector<float> whole = there_and_back(codec, values);
    std::vector<float> parts;
    for (std::size_t first = 0; first < size; first += kBlockElements) {
      const std::size_t count = std::min<std::size_t>(kBlockElements, size - first);
      const auto begin = values.begin() + static_cast<std::ptrdiff_t>(first);
      const auto part = there_and_back(codec, {begin, begin + static_cast<std::ptrdiff_t>(count)});
      parts.insert(parts.end(), part.begin(), part.end());
    }
    EXPECT_TRUE(same_bits(whole, parts)) << size;
  }
}

TEST_P(EveryEdgeCodec, AddsWhatItDecodesTo) {
  const std::vector<float> values = lane_numbers(2 * kBlockElements + 77, 5);
  const std::vector<std::byte> bytes = encoded(codec, values);
  std::vector<float> sum = lane_numbers(values.size(), 6);
  std::vector<float> expected = decoded(codec, bytes, values.size());
  for (std::size_t i = 0; i < sum.size(); ++i) expected[i] += sum[i];
  codec.decode_add(bytes, sum);
  EXPECT_TRUE(same_bits(sum, expected));
}

TEST_P(EveryEdgeCodec, NothingBecomesNothing) {
  EXPECT_EQ(codec.encoded_size(0), ByteCount(0));
  EXPECT_TRUE(there_and_back(codec, {}).empty());
  const std::vector<float> zeros(kBlockElements + 5);
  EXPECT_EQ(there_and_back(codec, zeros), zeros);
}

TEST_P(EveryEdgeCodec, WhatIsNotFiniteIsNotEncodedAndIsNamed) {
  const std::size_t size = kBlockElements + 200;
  std::vector<std::byte> bytes(codec.encoded_size(size).value());
  for (const std::size_t i : {std::size_t{0}, std::size_t{130}, size - 1}) {
    for (const float bad : {std::numeric_limits<float>::infinity(), std::nanf("")}) {
      std::vector<float> values = lane_numbers(size, 7);
      values[i] = bad;
      EXPECT_EQ(codec.encode(values, bytes), i);
    }
  }
}

TEST_P(EveryEdgeCodec, TheLargestNumbersStayFinite) {
  std::vector<float> values(kBlockElements, std::numeric_limits<float>::max());
  values[1] = -values[0];
  for (const float x : there_and_back(codec, values)) EXPECT_TRUE(std::isfinite(x));
}

TEST_P(EveryEdgeCodec, BytesOfAnotherSizeAreAFlaw) {
  const std::vector<std::byte> bytes = encoded(codec, lane_numbers(1000, 8));
  EXPECT_TRUE(codec.flaw_of(bytes, 5000));
  EXPECT_TRUE(codec.flaw_of(std::span(bytes).first(bytes.size() - 1), 1000));
  EXPECT_TRUE(codec.flaw_of({}, 1));
}

// Whatever a peer sends: it is refused, or harmless.
TEST_P(EveryEdgeCodec, BytesWithoutAFlawDecodeToFiniteNumbers) {
  std::mt19937 random(9);
  const std::size_t size = kBlockElements + 70;
  const std::vector<std::byte> good = encoded(codec, lane_numbers(size, 10));
  int accepted = 0;
  int refused = 0;
  for (int i = 0; i < 3000; ++i) {
    std::vector<std::byte> bytes = good;
    const unsigned changes = 1 + random() % 8;
    for (unsigned c = 0; c < changes; ++c) {
      const std::size_t at = random() % 3 == 0 ? random() % std::min<std::size_t>(16, bytes.size())
                                               : random() % bytes.size();
      bytes[at] = static_cast<std::byte>(random() % 2 == 0 ? 0xff : random() & 255U);
    }
    if (codec.flaw_of(bytes, size)) {
      ++refused;
      continue;
    }
    ++accepted;
    const std::vector<float> values = decoded(codec, bytes, size);
    std::vector<float> sum(size);
    codec.decode_add(bytes, sum);
    EXPECT_EQ(
        kernels().largest_magnitude(std::as_bytes(std::span(values)).data(), size) >= kInfinityFp32,
        false);
  }
  EXPECT_GT(accepted, 50);
  EXPECT_GT(refused, 50);
}

// Computed by another program, in Python, which rounds as IEEE 754 says.
TEST_P(EveryEdgeCodec, MakesTheBytesThatEveryMachineMakes) {
  const char* const golden[] = {
      "f8617a2e85f5f9686000d17b24c1c25e5fb0f8caf311b40a4bcbe3e4ce06206b",
      "639123a34bca23f9e37b0dddea7e5f555d69a405c5001d4253de2d4de6c9fd7a",
      "dbd5652637a8010222b2df7ae03be3da663cc9d99eae7a51ae2da968dabfb935",
      "6c39cd373f6876409af53020b53f9a0cc579083ad0b56a72d48251762045a58a",
      "11e01f40659cf6b116cc666a9790913f512cdc48cabf5eaec6e47eed59cb0da0",
  };
  const std::vector<std::byte> bytes = encoded(codec, lane_numbers(2 * kBlockElements + 333, 11));
  EXPECT_EQ(to_hex(sha256(bytes)), golden[GetParam()]);
}

TEST(EdgeCodecSizes, AreExact) {
  const auto size = [](EdgeCodecKind kind, std::uint64_t elements) {
    return edge_codec(kind).encoded_size(elements).value();
  };
  EXPECT_EQ(size(EdgeCodecKind::fp32, 1000), 4000U);
  EXPECT_EQ(size(EdgeCodecKind::bf16, 1000), 2000U);
  EXPECT_EQ(size(EdgeCodecKind::int8, 128), 128U + 4);
  EXPECT_EQ(size(EdgeCodecKind::int8, 129), 129U + 8);
  EXPECT_EQ(size(EdgeCodecKind::int4, 128), 64U + 4);
  EXPECT_EQ(size(EdgeCodecKind::int4, 131), 66U + 8);
  EXPECT_EQ(size(EdgeCodecKind::top_k, 4096), 120U);
  EXPECT_EQ(size(EdgeCodecKind::top_k, 4097), 120U + 8 + 2 + 1);
  EXPECT_EQ(size(EdgeCodecKind::top_k, 4096 + 64 * 3), 120U + 8 + 5 + 1);
}

TEST(EdgeCodecErrors, AreAtMostHalfALevel) {
  const std::vector<float> values = lane_numbers(5 * kIntegerBlock + 3, 12);
  for (const auto& [kind, levels] :
       {std::pair(EdgeCodecKind::int8, 127.0), std::pair(EdgeCodecKind::int4, 7.0)}) {
    const std::vector<float> back = there_and_back(edge_codec(kind), values);
    for (std::size_t first = 0; first < values.size(); first += kIntegerBlock) {
      const std::size_t end = std::min<std::size_t>(values.size(), first + kIntegerBlock);
      double largest = 0;
      double worst = 0;
      for (std::size_t i = first; i < end; ++i) {
        largest = std::max(largest, std::abs(double{values[i]}));
        worst = std::max(worst, std::abs(double{values[i]} - back[i]));
      }
      EXPECT_LE(worst, largest / levels / 2 * (1 + 1e-5));
      if (end - first == kIntegerBlock) {
        EXPECT_GT(worst, largest / levels / 8);  // or the bound says nothing
      }
    }
  }
  const std::vector<float> back = there_and_back(edge_codec(EdgeCodecKind::bf16), values);
  for (std::size_t i = 0; i < values.size(); ++i) {
    EXPECT_LE(std::abs(double{values[i]} - back[i]), std::abs(double{values[i]}) * 0x1p-8);
  }
  EXPECT_TRUE(same_bits(there_and_back(edge_codec(EdgeCodecKind::fp32), values), values));
}

TEST(TopK, KeepsTheLargestOfEachBlockAtTheMeansOfTheirTwoClasses) {
  const EdgeCodec& codec = edge_codec(EdgeCodecKind::top_k);
  const std::vector<float> values = lane_numbers(2 * kBlockElements + 100, 13);
  const std::vector<float> back = there_and_back(codec, values);
  for (std::size_t first = 0; first < values.size(); first += kBlockElements) {
    const std::size_t size = std::min<std::size_t>(kBlockElements, values.size() - first);
    std::vector<std::size_t> order(size);
    for (std::size_t i = 0; i < size; ++i) order[i] = first + i;
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      return std::abs(values[a]) > std::abs(values[b]);
    });
    const std::size_t kept = (size + 63) / 64;
    double mean = 0;
    for (std::size_t i = 0; i < kept; ++i) mean += std::abs(values[order[i]]) / double(kept);
    double high = 0;
    double low = 0;
    std::size_t high_count = 0;
    for (std::size_t i = 0; i < kept; ++i) {
      const double x = std::abs(values[order[i]]);
      (x > mean ? high : low) += x;
      high_count += x > mean ? 1 : 0;
    }
    high /= static_cast<double>(high_count);
    low /= static_cast<double>(kept - high_count);
    for (std::size_t i = 0; i < size; ++i) {
      const float x = values[order[i]];
      const double level = i >= kept ? 0 : std::abs(x) > mean ? high : low;
      EXPECT_NEAR(back[order[i]], std::copysign(level, x), 1e-6);
    }
  }
}

TEST(TopK, OfEqualOnesTheFirstAreKeptAndOfFewNoOthers) {
  const EdgeCodec& codec = edge_codec(EdgeCodecKind::top_k);
  const std::vector<float> equal = there_and_back(codec, std::vector<float>(kBlockElements, -2.0F));
  for (std::size_t i = 0; i < kBlockElements; ++i) EXPECT_EQ(equal[i], i < 64 ? -2.0F : 0.0F);
  std::vector<float> few(kBlockElements);
  few[0] = 1;
  few[17] = -3;
  few[kBlockElements - 1] = 5;
  const std::vector<float> back = there_and_back(codec, few);
  std::vector<float> expected(kBlockElements);
  expected[0] = 2;  // the mean of 1 and 3, which are not above 3
  expected[17] = -2;
  expected[kBlockElements - 1] = 5;
  EXPECT_EQ(back, expected);
  std::vector<float> sum(kBlockElements);
  codec.decode_add(encoded(codec, few), sum);  // the places that are left repeat the last one
  EXPECT_EQ(sum, expected);
}

TEST(TopK, PositionsOutOfOrderOrBeyondTheBlockAreFlaws) {
  const EdgeCodec& codec = edge_codec(EdgeCodecKind::top_k);
  const std::vector<float> values = lane_numbers(100, 14);  // two positions, in bytes 8 to 10
  const std::vector<std::byte> good = encoded(codec, values);
  ASSERT_EQ(good.size(), 12U);
  const auto with = [&](unsigned first, unsigned second) {
    std::vector<std::byte> bytes = good;
    bytes[8] = static_cast<std::byte>(first & 255U);
    bytes[9] = static_cast<std::byte>((first >> 8) | ((second & 15U) << 4));
    bytes[10] = static_cast<std::byte>(second >> 4);
    return codec.flaw_of(bytes, values.size());
  };
  EXPECT_FALSE(with(0, 99));
  EXPECT_FALSE(with(99, 99));
  EXPECT_TRUE(with(0, 100));
  EXPECT_TRUE(with(50, 49));
}

TEST(IntegerCodec, AScaleIsFiniteAndLeavesRoomForTheLowestLevel) {
  for (const auto& [kind, most] : {std::pair(EdgeCodecKind::int8, kLargestInt8Scale),
                                   std::pair(EdgeCodecKind::int4, kLargestInt4Scale)}) {
    const EdgeCodec& codec = edge_codec(kind);
    std::vector<std::byte> bytes(codec.encoded_size(1).value());  // lowest level, where it is 0
    bytes[4] = static_cast<std::byte>(kind == EdgeCodecKind::int8 ? 0x80 : 0x00);
    const auto with = [&](float scale) {
      std::memcpy(bytes.data(), &scale, sizeof scale);
      return codec.flaw_of(bytes, 1);
    };
    EXPECT_FALSE(with(most));
    EXPECT_TRUE(std::isfinite(decoded(codec, bytes, 1)[0]));
    EXPECT_TRUE(with(std::nextafter(most, 2 * most)));
    EXPECT_TRUE(with(-1.0F));
    EXPECT_TRUE(with(std::nanf("")));
  }
}

}  // namespace
}  // namespace ptrain::reduce
