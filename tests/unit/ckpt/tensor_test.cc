#include "libcommon/ckpt/tensor.h"

#include <limits>

#include <gtest/gtest.h>

namespace ptrain::ckpt {
namespace {

TEST(Dtype, NamesReadBack) {
  for (const char* name : {"BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "I16", "U16", "F16", "BF16",
                           "I32", "U32", "F32", "F64", "I64", "U64"}) {
    const auto dtype = dtype_from_name(name);
    ASSERT_TRUE(dtype.has_value()) << name;
    EXPECT_EQ(dtype_name(*dtype), name);
  }
  EXPECT_EQ(dtype_from_name("f32"), std::nullopt);
  EXPECT_EQ(dtype_from_name(""), std::nullopt);
}

TEST(TensorInfo, SizeIsTheProductOfShapeAndElement) {
  EXPECT_EQ(byte_size({"t", Dtype::bf16, {3, 5}}), 30u);
  EXPECT_EQ(byte_size({"t", Dtype::f64, {}}), 8u);
  EXPECT_EQ(byte_size({"t", Dtype::f64, {7, 0}}), 0u);
}

TEST(TensorInfo, SizesThatDoNotFitAreNone) {
  constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
  EXPECT_EQ(byte_size({"t", Dtype::u16, {kMax}}), 2 * static_cast<std::uint64_t>(kMax));
  EXPECT_EQ(byte_size({"t", Dtype::f32, {kMax}}), std::nullopt);
  EXPECT_EQ(byte_size({"t", Dtype::u8, {-1}}), std::nullopt);
}

}  // namespace
}  // namespace ptrain::ckpt
