#include "libcommon/os/atomic_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libcommon/base/bytes_of.h"
#include "libcommon/base/error.h"
#include "libcommon/os/read_file.h"
#include "tests/unit/os/faulty_storage.h"
#include "tests/unit/os/temporary_directory.h"

namespace ptrain::os {
namespace {

using ::testing::ElementsAre;

class AtomicFileTest : public ::testing::Test {
 protected:
  std::string read(const std::string& name) {
    return read_file(disk_, directory_.path() / name, 1000);
  }
  std::vector<std::string> names() { return disk_.list(directory_.path()); }

  TemporaryDirectory directory_;
  PosixStorage disk_;
};

TEST_F(AtomicFileTest, IsSyncedBeforeItIsRenamedAndTheDirectoryAfter) {
  FaultyStorage storage(disk_);
  write_file_durably(storage, directory_.path() / "x", "me", bytes_of("text"));
  const std::string folder = directory_.path().filename().string();
  EXPECT_THAT(storage.log(), ElementsAre("create .tmp-me.x", "append .tmp-me.x", "sync .tmp-me.x",
                                         "rename x", "sync-directory " + folder));
  EXPECT_EQ(read("x"), "text");
}

TEST_F(AtomicFileTest, WithoutCommitNothingStays) {
  { AtomicFile(disk_, directory_.path() / "x", "me").append(bytes_of("text")); }
  EXPECT_THAT(names(), ElementsAre());
}

TEST_F(AtomicFileTest, EveryFailureBeforeTheRenameLeavesTheTargetAndNoTemporaryFile) {
  write_file_durably(disk_, directory_.path() / "x", "me", bytes_of("old"));
  for (std::size_t failing = 0; failing < 4; ++failing) {
    FaultyStorage storage(disk_, failing);
    EXPECT_THROW(write_file_durably(storage, directory_.path() / "x", "me", bytes_of("new")),
                 Error);
    EXPECT_EQ(read("x"), "old") << "operation " << failing;
    EXPECT_THAT(names(), ElementsAre("x")) << "operation " << failing;
  }
}

TEST_F(AtomicFileTest, AFailedSyncOfTheDirectoryIsNotSuccess) {
  FaultyStorage storage(disk_, 4, EIO);
  EXPECT_THROW(write_file_durably(storage, directory_.path() / "x", "me", bytes_of("new")), Error);
  EXPECT_EQ(read("x"), "new");
}

TEST_F(AtomicFileTest, AFailedSyncIsNotTriedAgain) {
  FaultyStorage storage(disk_, 2, EIO);
  EXPECT_THROW(write_file_durably(storage, directory_.path() / "x", "me", bytes_of("new")), Error);
  EXPECT_THAT(storage.log(), ElementsAre("create .tmp-me.x", "append .tmp-me.x", "sync .tmp-me.x",
                                         "remove .tmp-me.x"));
}

TEST_F(AtomicFileTest, TwoWritersOfOneTargetDoNotTouchEachOthersBytes) {
  AtomicFile first(disk_, directory_.path() / "x", "one");
  first.append(bytes_of("text"));
  AtomicFile second(disk_, directory_.path() / "x", "two");
  first.commit();
  EXPECT_EQ(read("x"), "text");
  second.append(bytes_of("text"));
  second.commit();
  EXPECT_EQ(read("x"), "text");
  EXPECT_THAT(names(), ElementsAre("x"));
}

TEST_F(AtomicFileTest, MissingDirectoriesAreMadeAndEachIsDurableInItsParent) {
  FaultyStorage storage(disk_);
  create_directories_durably(storage, directory_.path() / "a" / "b");
  const std::string folder = directory_.path().filename().string();
  EXPECT_THAT(storage.log(), ElementsAre("create-directory a", "sync-directory " + folder,
                                         "create-directory b", "sync-directory a"));
  create_directories_durably(storage, directory_.path() / "a" / "b");  // again is no error
}

}  // namespace
}  // namespace ptrain::os
