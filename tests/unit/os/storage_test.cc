#include "libcommon/os/storage.h"

#include <csignal>
#include <functional>
#include <string_view>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "libcommon/base/bytes_of.h"
#include "libcommon/base/error.h"
#include "libcommon/os/read_file.h"
#include "tests/unit/os/temporary_directory.h"

namespace ptrain::os {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string error_of(const std::function<void()>& action, ErrorKind kind) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind);
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

class PosixStorageTest : public ::testing::Test {
 protected:
  void put(const std::string& name, std::string_view text) {
    const auto file = storage_.create(directory_.path() / name);
    file->append(bytes_of(text));
    file->sync();
  }

  TemporaryDirectory directory_;
  PosixStorage storage_;
};

TEST_F(PosixStorageTest, WhatWasAppendedIsReadBackAtAnyOffset) {
  const auto file = storage_.create(directory_.path() / "x");
  file->append(bytes_of("hello "));
  file->append(bytes_of("world"));
  file->sync();
  const auto read = storage_.open(directory_.path() / "x");
  EXPECT_EQ(read->size(), ByteCount(11));
  std::string text(5, '?');
  read->read_at(6, std::as_writable_bytes(std::span(text)));
  EXPECT_EQ(text, "world");
}

TEST_F(PosixStorageTest, ReadingPastTheEndNamesOffsetAndPath) {
  put("x", "abc");
  const auto file = storage_.open(directory_.path() / "x");
  std::string text(3, '?');
  file->read_at(0, std::as_writable_bytes(std::span(text)));  // up to the end is fine
  const std::string what =
      error_of([&] { file->read_at(1, std::as_writable_bytes(std::span(text))); }, ErrorKind::io);
  EXPECT_THAT(what, HasSubstr("1 bytes at offset 3"));
  EXPECT_THAT(what, HasSubstr((directory_.path() / "x").string()));
}

TEST_F(PosixStorageTest, CreatingReplacesWhatWasThere) {
  put("x", "long text");
  put("x", "short");
  EXPECT_EQ(read_file(storage_, directory_.path() / "x", 100), "short");
}

TEST_F(PosixStorageTest, ListIsSortedAndEmptyWhereThereIsNoDirectory) {
  put("b", "");
  put("a", "");
  EXPECT_THAT(storage_.list(directory_.path()), ElementsAre("a", "b"));
  EXPECT_THAT(storage_.list(directory_.path() / "none"), ElementsAre());
}

TEST_F(PosixStorageTest, StatusTellsFilesDirectoriesAndLinksApart) {
  put("x", "abc");
  std::filesystem::create_symlink("x", directory_.path() / "link");
  EXPECT_EQ(storage_.status(directory_.path() / "x")->kind, FileKind::regular);
  EXPECT_EQ(storage_.status(directory_.path() / "x")->size, ByteCount(3));
  EXPECT_EQ(storage_.status(directory_.path())->kind, FileKind::directory);
  EXPECT_EQ(storage_.status(directory_.path() / "link")->kind, FileKind::link);
  EXPECT_FALSE(storage_.status(directory_.path() / "none").has_value());
  EXPECT_FALSE(storage_.status(directory_.path() / "x" / "below").has_value());
}

TEST_F(PosixStorageTest, RemoveSaysWhetherThereWasSomething) {
  put("x", "");
  EXPECT_TRUE(storage_.remove(directory_.path() / "x"));
  EXPECT_FALSE(storage_.remove(directory_.path() / "x"));
  EXPECT_TRUE(storage_.create_directory(directory_.path() / "d"));
  EXPECT_FALSE(storage_.create_directory(directory_.path() / "d"));
  EXPECT_TRUE(storage_.remove(directory_.path() / "d"));
}

TEST_F(PosixStorageTest, AFileInTheWayOfADirectoryIsAnError) {
  put("x", "");
  error_of([&] { storage_.create_directory(directory_.path() / "x"); }, ErrorKind::io);
}

TEST_F(PosixStorageTest, AMissingFileIsNamed) {
  const std::string what =
      error_of([&] { storage_.open(directory_.path() / "none"); }, ErrorKind::io);
  EXPECT_THAT(what, HasSubstr("none: No such file or directory"));
}

TEST_F(PosixStorageTest, APipeIsRefusedInsteadOfWaitedFor) {
  ASSERT_EQ(::mkfifo((directory_.path() / "pipe").c_str(), 0600), 0);
  EXPECT_THAT(error_of([&] { storage_.open(directory_.path() / "pipe"); }, ErrorKind::io),
              HasSubstr("not a regular file"));
}

TEST_F(PosixStorageTest, AFullDeviceIsReportedWithPathAndBytes) {
  const auto file = storage_.create("/dev/full");
  try {
    file->append(bytes_of("four"));
    FAIL() << "a full device took bytes";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::io);
    EXPECT_STREQ(error.what(), "write 4 bytes at offset 0 of /dev/full: No space left on device");
    EXPECT_EQ(error.hint(), "free space in /dev");
  }
}

TEST_F(PosixStorageTest, TheSizeLimitOfTheProcessIsReportedWhereItStruck) {
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const auto file = storage_.create(directory_.path() / "x");
  const rlimit small{8, before.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &small);
  const std::string what = error_of([&] { file->append(bytes_of("twelve bytes")); }, ErrorKind::io);
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_THAT(what, HasSubstr("write 4 bytes at offset 8"));
}

// A folder of /proc answers EINVAL to fsync, as some network file systems do.
TEST_F(PosixStorageTest, ADiskThatCannotSyncDirectoriesIsSaidOnceAndGoodEnough) {
  struct KeepingLog final : Log {
    void info(std::string_view) override {}
    void warning(std::string_view line) override { warnings.emplace_back(line); }
    std::vector<std::string> warnings;
  } log;
  PosixStorage storage(&log);
  storage.sync_directory("/proc/self");
  storage.sync_directory("/proc/self");
  EXPECT_THAT(log.warnings, ElementsAre(HasSubstr("/proc/self cannot fsync a directory")));
  EXPECT_NO_THROW(PosixStorage().sync_directory("/proc/self"));
  EXPECT_THROW(storage.sync_directory("/proc/self/none"), Error);
}

TEST_F(PosixStorageTest, AFileOpenForUpdateKeepsWhatIsNotWritten) {
  put("x", "hello world");
  const auto file = storage_.open_for_update(directory_.path() / "x");
  EXPECT_EQ(file->size(), ByteCount(11));
  file->write_at(6, bytes_of("W"));
  file->write_at(0, bytes_of("J"));
  file->sync();
  EXPECT_EQ(file->size(), ByteCount(11));
  EXPECT_EQ(read_file(storage_, directory_.path() / "x", 100), "Jello World");
}

TEST_F(PosixStorageTest, AFileOpenForUpdateIsMadeAndGrowsWithZeros) {
  const auto path = directory_.path() / "x";
  const auto file = storage_.open_for_update(path);
  EXPECT_EQ(file->size(), ByteCount(0));
  file->write_at(2, bytes_of("ab"));
  EXPECT_EQ(file->size(), ByteCount(4));
  file->resize(ByteCount(6));
  EXPECT_EQ(file->size(), ByteCount(6));
  EXPECT_EQ(read_file(storage_, path, 100), std::string("\0\0ab\0\0", 6));
  file->resize(ByteCount(3));
  file->write_at(3, {});
  EXPECT_EQ(file->size(), ByteCount(3));
  EXPECT_EQ(read_file(storage_, path, 100), std::string("\0\0a", 3));
}

TEST_F(PosixStorageTest, OnlyARegularFileIsOpenedForUpdate) {
  put("x", "abc");
  std::filesystem::create_symlink("x", directory_.path() / "link");
  ASSERT_EQ(::mkfifo((directory_.path() / "pipe").c_str(), 0600), 0);
  for (const char* name : {"link", "pipe", "."}) {
    EXPECT_THAT(
        error_of([&] { storage_.open_for_update(directory_.path() / name); }, ErrorKind::io),
        HasSubstr((directory_.path() / name).string()));
  }
}

TEST_F(PosixStorageTest, AnUpdateBeyondTheSizeLimitSaysWhatToDo) {
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const auto file = storage_.open_for_update(directory_.path() / "x");
  const rlimit small{8, before.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &small);
  std::string hint;
  std::string what;
  try {
    file->write_at(4, bytes_of("six by"));
  } catch (const Error& error) {
    what = error.what();
    hint = error.hint();
  }
  const std::string resize = error_of([&] { file->resize(ByteCount(9)); }, ErrorKind::io);
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_THAT(what, HasSubstr("write 2 bytes at offset 8"));
  EXPECT_EQ(hint, "free space in " + directory_.path().string());
  EXPECT_THAT(resize, HasSubstr("from 8 to 9 bytes"));
}

TEST_F(PosixStorageTest, AFileIsSyncedByItsNameWithoutThePermissionToWrite) {
  put("x", "abc");
  std::filesystem::permissions(directory_.path() / "x", std::filesystem::perms::owner_read);
  storage_.sync_file(directory_.path() / "x");
  error_of([&] { storage_.sync_file(directory_.path() / "none"); }, ErrorKind::io);
  error_of([&] { storage_.sync_file(directory_.path()); }, ErrorKind::io);
}

TEST_F(PosixStorageTest, SmallFilesAreReadUpToTheirLimitAndNotBeyond) {
  put("x", "abc");
  EXPECT_EQ(read_file(storage_, directory_.path() / "x", 3), "abc");
  EXPECT_THAT(
      error_of([&] { read_file(storage_, directory_.path() / "x", 2); }, ErrorKind::corrupt),
      HasSubstr("3 bytes, at most 2"));
  std::filesystem::create_symlink("x", directory_.path() / "link");
  EXPECT_THAT(
      error_of([&] { read_file(storage_, directory_.path() / "link", 3); }, ErrorKind::corrupt),
      HasSubstr("not a regular file"));
}

}  // namespace
}  // namespace ptrain::os
