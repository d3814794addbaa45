#include "libcommon/base/nearest_word.h"

#include <vector>

#include <gtest/gtest.h>

namespace ptrain {
namespace {

TEST(EditDistance, CountsSlipsOfThePen) {
  EXPECT_EQ(edit_distance("verify", "verify"), 0u);
  EXPECT_EQ(edit_distance("verify", "verfy"), 1u);
  EXPECT_EQ(edit_distance("verify", "verifyy"), 1u);
  EXPECT_EQ(edit_distance("verify", "varify"), 1u);
  EXPECT_EQ(edit_distance("verify", "verfiy"), 1u);  // neighbours that changed places
  EXPECT_EQ(edit_distance("", "abc"), 3u);
  EXPECT_EQ(edit_distance("abc", ""), 3u);
}

TEST(NearestWord, IsTheFirstOfTheNearestWithinTheLimit) {
  const std::vector<std::string> words{"show", "serve", "seal"};
  EXPECT_EQ(nearest_word("sevre", words, 1), "serve");
  EXPECT_EQ(nearest_word("shoal", words, 2), "show");  // as near as seal
  EXPECT_EQ(nearest_word("shoal", words, 1), std::nullopt);
  EXPECT_EQ(nearest_word("show", {}, 5), std::nullopt);
}

TEST(NearestWord, HasALimitOfLength) {
  const std::string longest(64, 'x');
  const std::vector<std::string> words{longest + "y"};
  EXPECT_EQ(nearest_word(longest, words, 1), words.front());
  EXPECT_EQ(nearest_word(longest + "x", words, 1), std::nullopt);
}

}  // namespace
}  // namespace ptrain
