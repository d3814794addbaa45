#include "libcommon/cli/number_range.h"

#include <gtest/gtest.h>

namespace ptrain::cli {
namespace {

TEST(CheckNumber, TakesBothBoundsAndWhatLiesBetween) {
  for (const char* text : {"0.1", "1", "86400", "1e3", "+5"}) {
    EXPECT_EQ(check_number(text, 0.1, 86400.0), "") << text;
  }
}

TEST(CheckNumber, RefusesWhatIsBeyondOrNoNumber) {
  for (const char* text : {"0.09", "86400.1", "-1", "nan", "-nan", "NAN", "inf", "-inf", "1e999",
                           "", "x", "1x", "1 "}) {
    EXPECT_NE(check_number(text, 0.1, 86400.0), "") << text;
  }
  EXPECT_EQ(check_number("nan", 0.1, 86400.0), "nan: expected a number from 0.1 to 86400");
}

TEST(CheckWhole, TakesBothBoundsAndWhatLiesBetween) {
  for (const char* text : {"1", "10", "64"}) EXPECT_EQ(check_whole(text, 1, 64), "") << text;
  EXPECT_EQ(check_whole("0", 0, 64), "");
  EXPECT_EQ(check_whole("18446744073709551615", 0, 18446744073709551615u), "");
}

TEST(CheckWhole, RefusesSignsFractionsZerosInFrontAndWhatIsBeyond) {
  for (const char* text : {"0", "65", "-1", "+1", "010", "0x10", "1.0", "1e1", "nan", "", " 1",
                           "18446744073709551616", "99999999999999999999999"}) {
    EXPECT_NE(check_whole(text, 1, 64), "") << text;
  }
  EXPECT_NE(check_whole("-1", 0, 18446744073709551615u), "");
  EXPECT_NE(check_whole("18446744073709551616", 0, 18446744073709551615u), "");
}

}  // namespace
}  // namespace ptrain::cli
