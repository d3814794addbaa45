#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libcommon/cli/completion/command_tree.h"
#include "libcommon/cli/completion/scripts.h"
#include "libcommon/cli/number_range.h"

namespace ptrain::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(ValueWords, FollowFromTheNameOfTheValue) {
  EXPECT_TRUE(value_words("FILE").files);
  EXPECT_TRUE(value_words("TEXT").files);
  EXPECT_TRUE(value_words("DIR").folders);
  EXPECT_FALSE(value_words("KEY=VALUE").files);
  EXPECT_THAT(value_words("auto|none|ID").words, ElementsAre("auto", "none"));
  const ValueWords either = value_words("bytes|FILE");
  EXPECT_THAT(either.words, ElementsAre("bytes"));
  EXPECT_TRUE(either.files);
  EXPECT_THAT(value_words("cpu|cuda:N").words, ElementsAre("cpu"));
}

TEST(ValueWords, FollowFromWhatIsChecked) {
  CLI::App app("x", "x");
  std::string text;
  int number = 0;
  const auto* kind = app.add_option("--kind", text)->check(CLI::IsMember({"float32", "bfloat16"}));
  const auto* threads = app.add_option("--threads", number)->check(whole_range(1, 64));
  EXPECT_THAT(value_words(kind->get_type_name()).words, ElementsAre("float32", "bfloat16"));
  EXPECT_THAT(value_words(threads->get_type_name()).words, IsEmpty());
  EXPECT_FALSE(value_words(threads->get_type_name()).files);
}

// What a person wrote may hold any sign that a shell reads.
TEST(Scripts, QuoteDescriptions) {
  CLI::App app("x", "some-program");
  bool flag = false;
  app.add_flag("--own", flag, "This host's [own]: a \\ too");
  EXPECT_THAT(completion_script(app, "zsh"),
              HasSubstr("'(--own)--own[This host'\\''s \\[own\\]\\: a \\\\ too]'"));
  EXPECT_THAT(completion_script(app, "fish"), HasSubstr("'This host\\'s [own]: a \\\\ too'"));
}

}  // namespace
}  // namespace ptrain::cli
