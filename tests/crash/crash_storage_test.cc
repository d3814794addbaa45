// The rules of the disk that crashes: what it may lose, and what it may not.

#include "tests/crash/crash_storage.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libcommon/base/error.h"
#include "tests/crash/outcomes.h"

namespace ptrain::crash {
namespace {

using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::IsSupersetOf;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

std::vector<std::byte> bytes(std::size_t size, char value) {
  return std::vector(size, static_cast<std::byte>(value));
}

// An image as text: "a/ a/x=abc", long contents as runs: "x=512*n,512*o".
std::string text_of(const DiskImage& image) {
  std::string text;
  for (const auto& [path, contents] : image) {
    if (!text.empty()) text += ' ';
    text += path.relative_path().string();
    if (!contents) {
      text += '/';
      continue;
    }
    text += '=';
    const auto& data = contents->bytes;
    for (std::size_t begin = 0, end = 0; begin < data.size(); begin = end) {
      while (end < data.size() && data[end] == data[begin]) ++end;
      const char value = data[begin] == std::byte{} ? '0' : static_cast<char>(data[begin]);
      text += (begin > 0 ? "," : "") + std::to_string(end - begin) + "*" + value;
    }
  }
  return text;
}

class CrashStorageTest : public ::testing::Test {
 protected:
  std::vector<std::string> states() {
    std::mt19937_64 random(1);
    std::vector<std::string> texts;
    for (const DiskImage& image : disk_.model().crash_states(random)) {
      texts.push_back(text_of(image));
    }
    std::ranges::sort(texts);
    texts.erase(std::unique(texts.begin(), texts.end()), texts.end());
    return texts;
  }
  void put(const std::string& path, std::size_t size, char value) {
    const auto file = disk_.create(path);
    file->append(bytes(size, value));
    file->sync();
  }

  CrashStorage disk_;
};

TEST_F(CrashStorageTest, ANewFileIsDurableWithItsDataAndItsEntryOnly) {
  const auto file = disk_.create("/x");
  file->append(bytes(3, 'a'));
  EXPECT_THAT(states(), ElementsAre("", "x=", "x=3*0", "x=3*a"));
  file->sync();
  EXPECT_THAT(states(), ElementsAre("", "x=3*a"));
  disk_.sync_directory("/");
  EXPECT_THAT(states(), ElementsAre("x=3*a"));
}

TEST_F(CrashStorageTest, AnEntryMayBeDurableBeforeTheDataAre) {
  const auto file = disk_.create("/x");
  file->append(bytes(3, 'a'));
  disk_.sync_directory("/");
  EXPECT_THAT(states(), ElementsAre("x=", "x=3*0", "x=3*a"));
}

TEST_F(CrashStorageTest, ALongWriteIsTornAtSectors) {
  const auto file = disk_.create("/x");
  disk_.sync_directory("/");
  file->append(bytes(4 * kSectorBytes, 'a'));
  const auto found = states();
  EXPECT_THAT(found, IsSupersetOf({"x=", "x=2048*0", "x=2048*a", "x=512*a", "x=1024*a", "x=1536*a",
                                   "x=512*a,1536*0", "x=1536*0,512*a", "x=512*0,1536*a"}));
  EXPECT_THAT(found, Not(Contains("x=1*a")));  // a sector is whole
}

TEST_F(CrashStorageTest, OfWritesInPlaceAnySubsetOfSectorsIsThere) {
  put("/x", 3 * kSectorBytes, 'o');
  disk_.sync_directory("/");
  const auto file = disk_.open_for_update("/x");
  EXPECT_EQ(file->size(), ByteCount(3 * kSectorBytes));
  file->write_at(0, bytes(kSectorBytes, 'n'));
  file->write_at(2 * kSectorBytes, bytes(kSectorBytes, 'm'));
  EXPECT_THAT(states(),
              ElementsAre("x=1024*o,512*m", "x=1536*o", "x=512*n,1024*o", "x=512*n,512*o,512*m"));
  file->sync();
  EXPECT_THAT(states(), ElementsAre("x=512*n,512*o,512*m"));
}

TEST_F(CrashStorageTest, AResizeMayBeLostOrDurableBeforeTheData) {
  put("/x", 10, 'o');
  disk_.sync_directory("/");
  const auto file = disk_.open_for_update("/x");
  file->resize(ByteCount(4));
  EXPECT_THAT(states(), ElementsAre("x=10*o", "x=4*o", "x=4*o,6*0"));
  file->sync();
  file->write_at(6, bytes(2, 'n'));
  EXPECT_THAT(states(), ElementsAre("x=4*o", "x=4*o,2*0,2*n", "x=4*o,4*0"));
}

TEST_F(CrashStorageTest, CreatingOverAFileMayLoseWhatWasThere) {
  put("/x", 3, 'o');
  disk_.sync_directory("/");
  const auto file = disk_.create("/x");
  EXPECT_THAT(states(), ElementsAre("x=", "x=3*0", "x=3*o"));
}

TEST_F(CrashStorageTest, ARenameIsThereOrNotAndNeverHalf) {
  put("/a", 1, 'a');
  put("/b", 1, 'b');
  disk_.sync_directory("/");
  disk_.rename("/a", "/b");
  EXPECT_THAT(states(), ElementsAre("a=1*a b=1*b", "b=1*a"));
  disk_.sync_directory("/");
  EXPECT_THAT(states(), ElementsAre("b=1*a"));
}

TEST_F(CrashStorageTest, ChangesOfADirectoryBecomeDurableInAnyOrder) {
  put("/a", 1, 'a');
  put("/b", 1, 'b');
  disk_.sync_directory("/");
  disk_.rename("/a", "/c");
  disk_.remove("/b");
  EXPECT_THAT(states(), ElementsAre("a=1*a", "a=1*a b=1*b", "b=1*b c=1*a", "c=1*a"));
}

TEST_F(CrashStorageTest, ADirectoryIsDurableByItsParentAndItsEntriesByItself) {
  disk_.create_directory("/d");
  put("/d/x", 1, 'a');
  disk_.sync_directory("/d");
  EXPECT_THAT(states(), ElementsAre("", "d/ d/x=1*a"));
  disk_.sync_directory("/");
  EXPECT_THAT(states(), ElementsAre("d/ d/x=1*a"));
  disk_.remove("/d/x");
  disk_.remove("/d");
  disk_.sync_directory("/");
  EXPECT_THAT(states(), ElementsAre(""));
}

TEST_F(CrashStorageTest, AMoveBetweenDirectoriesNeedsBothSynced) {
  disk_.create_directory("/d");
  put("/x", 1, 'a');
  disk_.sync_directory("/");
  disk_.rename("/x", "/d/x");
  EXPECT_THAT(states(), ElementsAre("d/ d/x=1*a", "d/ x=1*a"));
  disk_.sync_directory("/");
  EXPECT_THAT(states(), ElementsAre("d/", "d/ d/x=1*a"));
  disk_.sync_directory("/d");
  EXPECT_THAT(states(), ElementsAre("d/ d/x=1*a"));
}

TEST_F(CrashStorageTest, AnImageIsADiskAgain) {
  disk_.create_directory("/d");
  put("/d/x", 3, 'a');
  CrashStorage copy(disk_.model().live());
  EXPECT_EQ(text_of(copy.model().durable()), "d/ d/x=3*a");
  EXPECT_EQ(fingerprint(copy.model().live()), fingerprint(disk_.model().live()));
  std::vector<std::byte> read(2);
  copy.open("/d/x")->read_at(1, read);
  EXPECT_EQ(read, bytes(2, 'a'));
}

TEST_F(CrashStorageTest, RefusesWhatTheSystemRefuses) {
  disk_.create_directory("/d");
  put("/d/x", 1, 'a');
  EXPECT_THROW(disk_.create("/none/x"), Error);
  EXPECT_THROW(disk_.create("/d"), Error);
  EXPECT_THROW(disk_.open("/none"), Error);
  EXPECT_THROW(disk_.open("/d"), Error);
  EXPECT_THROW(disk_.remove("/d"), Error);  // not empty
  EXPECT_THROW(disk_.rename("/none", "/x"), Error);
  EXPECT_THROW(disk_.create_directory("/d/x"), Error);
  EXPECT_THROW(disk_.sync_directory("/none"), Error);
  EXPECT_FALSE(disk_.remove("/none"));
  EXPECT_FALSE(disk_.create_directory("/d"));
  EXPECT_TRUE(disk_.list("/none").empty());
  EXPECT_FALSE(disk_.status("/d/x/below").has_value());
  std::vector<std::byte> two(2);
  EXPECT_THROW(disk_.open("/d/x")->read_at(0, two), Error);
}

TEST(Outcomes, AFewAreAllTriedAndManyAreSampled) {
  std::mt19937_64 random(1);
  const std::vector<std::size_t> few = {2, 2, 16};  // kMostExhaustive
  EXPECT_THAT(outcomes(few, random), SizeIs(kMostExhaustive));
  EXPECT_THAT(outcomes(std::vector<std::size_t>{}, random), ElementsAre(SizeIs(0)));
  const std::vector<std::size_t> many(10, 2);
  const auto found = outcomes(many, random);
  EXPECT_LT(found.size(), 128u);
  EXPECT_THAT(found, Each(SizeIs(10)));
  EXPECT_THAT(found, Contains(std::vector<std::size_t>(10, 0)));
  EXPECT_THAT(found, Contains(std::vector<std::size_t>(10, 1)));
  for (std::size_t i = 0; i < 10; ++i) {
    std::vector<std::size_t> alone(10, 0);
    std::vector<std::size_t> missing(10, 1);
    alone[i] = 1;
    missing[i] = 0;
    EXPECT_THAT(found, IsSupersetOf({alone, missing}));
  }
}

}  // namespace
}  // namespace ptrain::crash
