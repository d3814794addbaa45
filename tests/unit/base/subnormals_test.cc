#include "libcommon/base/subnormals.h"

#include <limits>

#include <gtest/gtest.h>

namespace ptrain {
namespace {

constexpr float kSmallestNormal = std::numeric_limits<float>::min();

bool keeps_operands() {
  const volatile float subnormal = kSmallestNormal / 4;  // made by the compiler
  return subnormal * 0x1p20F != 0;
}

bool keeps_results() {
  const volatile float normal = kSmallestNormal;
  return normal * 0.25F != 0;
}

#if defined(__x86_64__) || defined(__aarch64__)

TEST(SubnormalMode, HoldsInItsScopeAndGivesTheCallersBack) {
  ASSERT_TRUE(keeps_operands() && keeps_results());
  {
    const SubnormalMode outer(Subnormals::flushed);
    EXPECT_FALSE(keeps_operands());
    EXPECT_FALSE(keeps_results());
    {
      const SubnormalMode inner(Subnormals::kept);
      EXPECT_TRUE(keeps_operands());
      EXPECT_TRUE(keeps_results());
    }
    EXPECT_FALSE(keeps_operands());
    EXPECT_FALSE(keeps_results());
    { const SubnormalMode same(Subnormals::flushed); }
    EXPECT_FALSE(keeps_operands());
  }
  EXPECT_TRUE(keeps_operands());
  EXPECT_TRUE(keeps_results());
}

#endif

}  // namespace
}  // namespace ptrain
