#include "libcommon/data/utf8.h"

#include <string>

#include <gtest/gtest.h>

namespace ptrain::data {
namespace {

using namespace std::string_view_literals;

TEST(Utf8, CharactersOfEveryLengthAreValidUpToTheirLimits) {
  for (const std::string_view text :
       {""sv, "\0"sv, "\x7f"sv, "\xc2\x80"sv, "\xdf\xbf"sv, "\xe0\xa0\x80"sv, "\xed\x9f\xbf"sv,
        "\xee\x80\x80"sv, "\xef\xbf\xbf"sv, "\xf0\x90\x80\x80"sv, "\xf4\x8f\xbf\xbf"sv}) {
    EXPECT_EQ(first_invalid_utf8(text), std::nullopt);
    EXPECT_EQ(incomplete_utf8_tail(text), 0U);
  }
}

TEST(Utf8, JustPastTheLimitsIsInvalid) {
  const std::string_view cases[] = {
      "\x80"sv,              // begins with what continues
      "\xc1\xbf"sv,          // longer than need be
      "\xe0\x9f\xbf"sv,      // likewise, three bytes
      "\xf0\x8f\xbf\xbf"sv,  // likewise, four
      "\xed\xa0\x80"sv,      // a surrogate
      "\xf4\x90\x80\x80"sv,  // beyond U+10FFFF
      "\xf5\x80\x80\x80"sv,
      "\xff"sv,
      "\xe2\x82"sv,  // cut short
      "\xe2\x82z"sv,
  };
  for (const std::string_view text : cases) EXPECT_EQ(first_invalid_utf8(text), 0U);
}

TEST(Utf8, TheOffsetIsThatOfTheCharacterThatIsNone) {
  EXPECT_EQ(first_invalid_utf8("a\xc3\xa9\xe2\x82\xac\xff"
                               "b"sv),
            6U);
  EXPECT_EQ(first_invalid_utf8("ab\xe2\x82"sv), 2U);
}

TEST(Utf8, TheTailIsWhatMayStillBecomeACharacter) {
  EXPECT_EQ(incomplete_utf8_tail("ab\xc3"sv), 1U);
  EXPECT_EQ(incomplete_utf8_tail("ab\xe2\x82"sv), 2U);
  EXPECT_EQ(incomplete_utf8_tail("ab\xf0\x9f\x98"sv), 3U);
  EXPECT_EQ(incomplete_utf8_tail("\xf0"sv), 1U);
  // What can become none does not wait.
  EXPECT_EQ(incomplete_utf8_tail("ab\x80"sv), 0U);
  EXPECT_EQ(incomplete_utf8_tail("\xe0\x80"sv), 0U);
  EXPECT_EQ(incomplete_utf8_tail("\xff"sv), 0U);
}

}  // namespace
}  // namespace ptrain::data
