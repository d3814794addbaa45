#include "tools/stage/engine/save_answer.h"

#include <gtest/gtest.h>

namespace ptrain::stage {
namespace {

TEST(SaveAnswer, CarriesWhyThereIsNoCheckpoint) {
  EXPECT_EQ(why_not_saved(not_saved("write 12 bytes: No space left on device")),
            "write 12 bytes: No space left on device");
  EXPECT_EQ(why_not_saved(not_saved("")), "");
}

TEST(SaveAnswer, OfARecordOrAManifestIsNothing) {
  EXPECT_FALSE(why_not_saved("{\"kind\":\"stage\"}"));
  EXPECT_FALSE(why_not_saved(""));
}

TEST(SaveAnswer, CutsAReasonThatIsTooLong) {
  const std::string why(kMostReasonBytes + 1, 'x');
  EXPECT_EQ(why_not_saved(not_saved(why)), why.substr(0, kMostReasonBytes));
  EXPECT_EQ(why_not_saved(std::string(kNotSaved) + why), why.substr(0, kMostReasonBytes));
}

}  // namespace
}  // namespace ptrain::stage
