#include <cmath>
#include <cstring>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libcommon/base/error.h"
#include "tools/stage/codec/wire_codec.h"

namespace ptrain::stage {
namespace {

at::Tensor round_trip(const WireCodec& codec, const at::Tensor& x) {
  const std::vector<std::byte> bytes = codec.encoded(x);
  EXPECT_EQ(bytes.size(), codec.encoded_size(x.numel()).value());
  at::Tensor y = at::empty_like(x);
  codec.decode(bytes, y);
  return y;
}

TEST(WireCodecTest, Fp32CarriesBothDtypesExactly) {
  const auto codec = make_wire_codec(job::WireCodec::fp32);
  const at::Tensor x = at::randn({3, 5, 7});
  EXPECT_TRUE(round_trip(*codec, x).equal(x));
  const at::Tensor narrow = x.to(at::kBFloat16);
  EXPECT_TRUE(round_trip(*codec, narrow).equal(narrow));
}

TEST(WireCodecTest, ExactIsExactInBothDtypes) {
  const auto codec = make_wire_codec(job::WireCodec::exact);
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const at::Tensor x = at::randn({3, 5, 7}).to(type);
    EXPECT_TRUE(round_trip(*codec, x).equal(x));
  }
}

TEST(WireCodecTest, Bf16CarriesBfloat16ExactlyAndRoundsFloat32ToNearest) {
  const auto codec = make_wire_codec(job::WireCodec::bf16);
  const at::Tensor x = at::randn({3, 5, 7});
  const at::Tensor narrow = x.to(at::kBFloat16);
  EXPECT_TRUE(round_trip(*codec, narrow).equal(narrow));
  EXPECT_TRUE(round_trip(*codec, x).equal(narrow.to(at::kFloat)));
}

TEST(WireCodecTest, BytesPerTokenAreThoseOfTheEncodedStream) {
  EXPECT_EQ(make_wire_codec(job::WireCodec::fp32)->bytes_per_token(256), 1024.0);
  EXPECT_EQ(make_wire_codec(job::WireCodec::bf16)->bytes_per_token(256), 512.0);
  EXPECT_EQ(make_wire_codec(job::WireCodec::int8)->bytes_per_token(256), 264.0);
}

TEST(WireCodecTest, Int8StaysWithinHalfAStepOfItsBlock) {
  const auto codec = make_wire_codec(job::WireCodec::int8);
  // The last block is incomplete; the magnitudes of the blocks differ by orders.
  const at::Tensor x = at::randn({1000}) * at::pow(10.0, at::arange(1000) / 100.0 - 8.0);
  const at::Tensor y = round_trip(*codec, x);
  for (std::int64_t first = 0; first < 1000; first += 128) {
    const std::int64_t size = std::min<std::int64_t>(128, 1000 - first);
    const at::Tensor block = x.narrow(0, first, size);
    const float step = block.abs().max().item<float>() / 127.0F;
    const float worst = (y.narrow(0, first, size) - block).abs().max().item<float>();
    EXPECT_LE(worst, step * 0.5001F);
  }
}

TEST(WireCodecTest, Int8CarriesTheLargestElementOfABlockAndZeros) {
  const auto codec = make_wire_codec(job::WireCodec::int8);
  at::Tensor x = at::zeros({256});
  EXPECT_TRUE(round_trip(*codec, x).equal(x));
  x[3] = -5.0F;
  EXPECT_NEAR(round_trip(*codec, x)[3].item<float>(), -5.0F, 1e-6F);
  x[200] = 1e-38F;  // a block too small for a scale of its own becomes zero
  EXPECT_EQ(round_trip(*codec, x)[200].item<float>(), 0.0F);
  x[200] = std::numeric_limits<float>::max();
  EXPECT_TRUE(std::isfinite(round_trip(*codec, x)[200].item<float>()));
}

TEST(WireCodecTest, Int8RefusesWhatIsNotFiniteAndNamesIt) {
  const auto codec = make_wire_codec(job::WireCodec::int8);
  for (const float bad : {NAN, INFINITY, -INFINITY}) {
    for (const std::int64_t at : {0, 17, 130, 299}) {
      for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
        at::Tensor x = at::randn({300}).to(type);
        x[at] = bad;
        try {
          codec->encoded(x);
          ADD_FAILURE() << "accepted " << bad << " at " << at;
        } catch (const Error& error) {
          EXPECT_EQ(error.kind(), ErrorKind::corrupt);
          EXPECT_THAT(error.what(), ::testing::HasSubstr("element " + std::to_string(at) + " of"));
        }
      }
    }
  }
}

TEST(WireCodecTest, DecodeRefusesBytesOfAnotherSize) {
  for (const job::WireCodec kind :
       {job::WireCodec::fp32, job::WireCodec::bf16, job::WireCodec::int8}) {
    const auto codec = make_wire_codec(kind);
    at::Tensor x = at::randn({130});
    std::vector<std::byte> bytes = codec->encoded(x);
    EXPECT_NO_THROW(codec->decode(bytes, x));
    bytes.push_back(std::byte{0});
    EXPECT_THROW(codec->decode(bytes, x), Error);
    EXPECT_THROW(codec->decode(std::span(bytes).first(bytes.size() - 2), x), Error);
  }
}

TEST(WireCodecTest, Int8RefusesAScaleThatIsNotFinite) {
  const auto codec = make_wire_codec(job::WireCodec::int8);
  at::Tensor x = at::randn({200});
  std::vector<std::byte> bytes = codec->encoded(x);
  for (const float bad : {NAN, INFINITY, -1.0F}) {
    std::memcpy(bytes.data() + 4, &bad, sizeof bad);
    EXPECT_THROW(codec->decode(bytes, x), Error);
  }
}

}  // namespace
}  // namespace ptrain::stage
