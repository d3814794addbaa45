// The thread that trains takes subnormal numbers for zero (tools/stage/model/denormals.h), another
// one that adds up does not: both must come to the same bits.

#include "libcommon/base/subnormals.h"

#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "libcommon/base/sha256.h"
#include "libcommon/reduce/edge_codec.h"
#include "libcommon/reduce/kernels/kernels.h"
#include "tests/unit/reduce/company.h"
#include "tests/unit/reduce/lane_numbers.h"

namespace ptrain::reduce {
namespace {

constexpr std::uint64_t kElements = 2 * kBlockElements + 333;

// Every other block of 1024 elements, a codec's blocks among them, is subnormal, or becomes so when
// it is added to others or halved; the rest are as large as gradients are.
Vector tiny_numbers(std::uint64_t seed) {
  Vector values = lane_numbers(kElements, seed);
  for (std::size_t i = 0; i < values.size(); ++i) {
    std::uint32_t bits = 0;
    std::memcpy(&bits, &values[i], sizeof bits);
    const std::uint32_t exponent = (bits >> 23) % 4;  // 0: subnormal
    if (i / 1024 % 2 == 0) bits = (bits & 0x807fffffU) | exponent << 23;
    std::memcpy(&values[i], &bits, sizeof bits);
  }
  return values;
}

Sha256Digest digest_of(const std::vector<Vector>& vectors) {
  Sha256 digest;
  for (const Vector& vector : vectors) digest.update(std::as_bytes(std::span(vector)));
  return digest.digest();
}

// Three rounds of a sum over six lanes, at any members, and what is left on the edges.
Sha256Digest sums_of(EdgeRule rule) {
  std::mt19937 random(31);
  Company company(any_plan(6, 3, kElements, rule, random));
  std::vector<Vector> all;
  for (std::uint64_t round = 0; round < 3; ++round) {
    std::vector<Vector> lanes;
    for (std::uint64_t lane = 0; lane < 6; ++lane) lanes.push_back(tiny_numbers(10 * round + lane));
    for (Vector& sum : company.sum(lanes, random)) all.push_back(std::move(sum));
  }
  for (const ResidualPlace& place : places_in_sums(company.plan())) {
    const auto part = company.residuals()[place.member.value()].of(place.edge, place.elements);
    all.emplace_back(part.begin(), part.end());
  }
  return digest_of(all);
}

class EveryCodecsSubnormals : public testing::TestWithParam<std::uint8_t> {
 protected:
  const EdgeCodecKind kind = static_cast<EdgeCodecKind>(GetParam());
  const EdgeCodec& codec = edge_codec(kind);
};

INSTANTIATE_TEST_SUITE_P(Codecs, EveryCodecsSubnormals,
                         testing::Range(std::uint8_t{0}, kEdgeCodecKinds), [](const auto& of) {
                           return std::string(
                               edge_codec(static_cast<EdgeCodecKind>(of.param)).name());
                         });

TEST_P(EveryCodecsSubnormals, SumsHaveTheSameBitsInAThreadThatFlushesThem) {
  for (const float feedback : {0.0F, 0.95F}) {
    const Sha256Digest kept = sums_of({kind, feedback});
    const SubnormalMode mode(Subnormals::flushed);
    EXPECT_EQ(to_hex(sums_of({kind, feedback})), to_hex(kept)) << "feedback " << feedback;
  }
}

TEST_P(EveryCodecsSubnormals, AreEncodedAndDecodedAlikeInBothModes) {
  const Vector values = tiny_numbers(77);
  const auto encoded = [&] {
    std::vector<std::byte> bytes(codec.encoded_size(values.size()).value());
    EXPECT_EQ(codec.encode(values, bytes), std::nullopt);
    return bytes;
  };
  const auto added = [&](const std::vector<std::byte>& bytes) {
    Vector sum = tiny_numbers(78);
    Vector plain(values.size());
    codec.decode_add(bytes, sum);
    codec.decode(bytes, plain);
    return digest_of({sum, plain});
  };
  const std::vector<std::byte> kept = encoded();
  const Sha256Digest kept_sum = added(kept);
  const SubnormalMode mode(Subnormals::flushed);
  EXPECT_EQ(encoded(), kept);
  EXPECT_EQ(to_hex(added(kept)), to_hex(kept_sum));
}

// A level or a scale just below zero is one, whoever looks.
TEST(SubnormalScales, OfTheWrongSignAreAFlawInBothModes) {
  for (const EdgeCodecKind kind :
       {EdgeCodecKind::int8, EdgeCodecKind::int4, EdgeCodecKind::top_k}) {
    const EdgeCodec& codec = edge_codec(kind);
    std::vector<std::byte> bytes(codec.encoded_size(100).value());
    EXPECT_FALSE(codec.flaw_of(bytes, 100)) << codec.name();
    const float below_zero = -std::numeric_limits<float>::denorm_min();
    std::memcpy(bytes.data(), &below_zero, sizeof below_zero);
    EXPECT_TRUE(codec.flaw_of(bytes, 100)) << codec.name();
    const SubnormalMode mode(Subnormals::flushed);
    EXPECT_TRUE(codec.flaw_of(bytes, 100)) << codec.name();
  }
}

#if defined(__x86_64__) || defined(__aarch64__)

// Or the tests above could not fail.
TEST(SubnormalsInKernels, WouldBeLostWithoutTheMode) {
  const Vector a = tiny_numbers(1);
  const Vector b = tiny_numbers(2);
  Vector kept(kElements);
  Vector flushed(kElements);
  const auto sum = [&](Vector& to) {
    kernels().sum(std::as_bytes(std::span(a)).data(), std::as_bytes(std::span(b)).data(),
                  std::as_writable_bytes(std::span(to)).data(), kElements);
  };
  sum(kept);
  {
    const SubnormalMode mode(Subnormals::flushed);
    sum(flushed);
  }
  EXPECT_NE(to_hex(digest_of({kept})), to_hex(digest_of({flushed})));
}

#endif

}  // namespace
}  // namespace ptrain::reduce
