#include "libcommon/base/text_lines.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ptrain {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

const TextLine kFirst{1, "tcp://one:7000#0a"};
const TextLine kSecond{2, "tcp://two:7000#0b"};

TEST(TextLines, AreTheSameWhateverWasUsedToWriteThem) {
  for (const std::string_view text : {
           "tcp://one:7000#0a\ntcp://two:7000#0b\n",
           "tcp://one:7000#0a\ntcp://two:7000#0b",
           "tcp://one:7000#0a\r\ntcp://two:7000#0b\r\n",
           "tcp://one:7000#0a \t\ntcp://two:7000#0b  \r\n",
           "\xef\xbb\xbftcp://one:7000#0a\ntcp://two:7000#0b\n",
           "  tcp://one:7000#0a\n\ttcp://two:7000#0b\n\n\r\n  \n",
           "tcp://one:7000#0a # the laptop\ntcp://two:7000#0b\t#tower\n",
       }) {
    EXPECT_THAT(text_lines(text), ElementsAre(kFirst, kSecond)) << text;
  }
}

TEST(TextLines, KeepTheirNumbersAmongLinesThatSayNothing) {
  EXPECT_THAT(text_lines("\n# a comment\r\n \r\n\tb \n   # c\nd e\n"),
              ElementsAre(TextLine{4, "b"}, TextLine{6, "d e"}));
}

TEST(TextLines, OfATextThatSaysNothingThereAreNone) {
  for (const std::string_view text : {"", "\n", "\r\n", "#", "# a\n#b", "\xef\xbb\xbf", " \t "}) {
    EXPECT_THAT(text_lines(text), IsEmpty()) << text;
  }
}

TEST(TextLines, AHashWithinAWordIsNoComment) {
  EXPECT_THAT(text_lines("a#b #c\n"), ElementsAre(TextLine{1, "a#b"}));
  EXPECT_THAT(text_lines("a#b#\n"), ElementsAre(TextLine{1, "a#b#"}));
}

TEST(TextLines, AByteOrderMarkIsOneAtTheBeginningOnly) {
  EXPECT_THAT(text_lines("a\n\xef\xbb\xbf"
                         "b\n"),
              ElementsAre(TextLine{1, "a"}, TextLine{2,
                                                     "\xef\xbb\xbf"
                                                     "b"}));
}

TEST(WordsOf, ALineStandBetweenAnyBlanks) {
  EXPECT_THAT(words_of("peer  0a\t*"), ElementsAre("peer", "0a", "*"));
  EXPECT_THAT(words_of(" peer "), ElementsAre("peer"));
  EXPECT_THAT(words_of(" \t"), IsEmpty());
}

}  // namespace
}  // namespace ptrain
