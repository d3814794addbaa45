#include "tools/data/text_source.h"

#include <chrono>
#include <csignal>
#include <future>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "libcommon/base/error.h"
#include "tests/unit/data/scratch_directory.h"

namespace ptrain::data {
namespace {

struct Part {
  std::string text;
  std::uint64_t offset;
  bool after_cut;
  bool operator==(const Part&) const = default;
};

std::vector<Part> parts_of(const std::string& path, std::uint64_t cut = kNoCut) {
  TextSource source(path);
  TextBlocks blocks(source, cut);
  std::vector<Part> parts;
  while (const auto block = blocks.next()) {
    parts.push_back({std::string(block->text), block->offset, block->after_cut});
  }
  return parts;
}

std::vector<Part> parts_of_text(const std::string& text, std::uint64_t cut = kNoCut) {
  const ScratchDirectory scratch;
  write_text(scratch / "text", text);
  return parts_of(scratch / "text", cut);
}

TEST(TextBlocks, AnEmptyTextHasNone) { EXPECT_TRUE(parts_of_text("").empty()); }

TEST(TextBlocks, AShortTextIsOneWhateverItsEnd) {
  EXPECT_EQ(parts_of_text("one\ntwo"), (std::vector<Part>{{"one\ntwo", 0, false}}));
  EXPECT_EQ(parts_of_text("\xe2\x82"), (std::vector<Part>{{"\xe2\x82", 0, false}}));
}

TEST(TextBlocks, ABlockEndsWithTheLastLineThatFits) {
  const std::string line(kTextBlockBytes - 3, 'a');
  const std::vector<Part> parts = parts_of_text(line + "\nbcdef\n");
  ASSERT_EQ(parts.size(), 2U);
  EXPECT_EQ(parts[0].text, line + "\n");
  EXPECT_EQ(parts[1], (Part{"bcdef\n", kTextBlockBytes - 2, false}));
}

TEST(TextBlocks, ALineAsLongAsABlockStaysWhole) {
  const std::string line = std::string(kTextBlockBytes - 1, 'a') + "\n";
  const std::vector<Part> parts = parts_of_text(line + "b");
  ASSERT_EQ(parts.size(), 2U);
  EXPECT_EQ(parts[0].text, line);
}

TEST(TextBlocks, ALongerLineIsCutBetweenCharacters) {
  // The two-byte character would straddle the end of the block.
  const std::string before(kTextBlockBytes - 1, 'a');
  const std::vector<Part> parts = parts_of_text(before + "\xc3\xa9\n");
  ASSERT_EQ(parts.size(), 2U);
  EXPECT_EQ(parts[0].text, before);
  EXPECT_EQ(parts[1].text, "\xc3\xa9\n");
}

TEST(TextBlocks, NoBlockHoldsTextFromBothSidesOfTheCut) {
  EXPECT_EQ(parts_of_text("abc\ndef\n", 6),
            (std::vector<Part>{{"abc\nde", 0, false}, {"f\n", 6, true}}));
  EXPECT_EQ(parts_of_text("abc", 0), (std::vector<Part>{{"abc", 0, true}}));
  EXPECT_EQ(parts_of_text("abc", 3), (std::vector<Part>{{"abc", 0, false}}));
}

TEST(TextBlocks, TheCutMovesBackToTheBeginningOfACharacter) {
  EXPECT_EQ(parts_of_text("a\xe2\x82\xac"
                          "b",
                          3),
            (std::vector<Part>{{"a", 0, false},
                               {"\xe2\x82\xac"
                                "b",
                                1, true}}));
  EXPECT_EQ(parts_of_text("\xe2\x82\xac", 2), (std::vector<Part>{{"\xe2\x82\xac", 0, true}}));
}

TEST(TextBlocks, ACutFarIntoALargeTextIsExact) {
  const std::string text(3 * kTextBlockBytes + 100, 'x');
  const std::uint64_t cut = 2 * kTextBlockBytes + 7;
  std::uint64_t before = 0;
  std::uint64_t after = 0;
  for (const Part& part : parts_of_text(text, cut)) {
    EXPECT_EQ(part.offset, before + after);
    (part.after_cut ? after : before) += part.text.size();
  }
  EXPECT_EQ(before, cut);
  EXPECT_EQ(after, text.size() - cut);
}

TEST(TextSource, APipeHasNoSizeUntilItIsSpooled) {
  const ScratchDirectory scratch;
  const std::string pipe = scratch / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  const std::string text(3 * kTextBlockBytes, 'x');
  const auto writer = std::async(std::launch::async, [&] { write_text(pipe, text); });
  TextSource source(pipe);
  EXPECT_EQ(source.size(), std::nullopt);
  source.spool(scratch.path());
  EXPECT_EQ(source.size(), text.size());
  EXPECT_EQ(scratch.file_count(), 1);  // the pipe: the copy has no name
  std::string first(10, '\0');
  EXPECT_EQ(source.read(first), 10U);
  EXPECT_EQ(first, "xxxxxxxxxx");
}

TEST(TextSource, AStopSignalEndsTheWaitForASilentPipe) {
  const ScratchDirectory scratch;
  const std::string pipe = scratch / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  const os::FileDescriptor silent(::open(pipe.c_str(), O_RDWR));
  const os::StopSignal stop("test");
  TextSource source(pipe, &stop);
  std::string buffer(10, '\0');
  auto reading = std::async(std::launch::async, [&] { return source.read(buffer); });
  EXPECT_EQ(reading.wait_for(std::chrono::milliseconds(50)), std::future_status::timeout);
  std::raise(SIGTERM);
  EXPECT_EQ(reading.get(), 0U);
}

TEST(TextSource, AFolderIsNoText) {
  const ScratchDirectory scratch;
  EXPECT_ERROR(TextSource(scratch.path()), ErrorKind::io, scratch.path(), "Is a directory");
  EXPECT_ERROR(TextSource(scratch / "absent"), ErrorKind::io, "absent", "No such file");
}

}  // namespace
}  // namespace ptrain::data
