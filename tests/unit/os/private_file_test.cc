#include "libcommon/os/private_file.h"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/unit/os/temporary_directory.h"

namespace ptrain::os {
namespace {

using testing::HasSubstr;

struct PrivateFile : testing::Test {
  PrivateFile() { write("secret", 0600); }
  void write(const std::string& text, mode_t mode) const {
    std::ofstream(path) << text;
    ::chmod(path.c_str(), mode);
  }
  ErrorKind refusal() const {
    try {
      read_private_file(path, "test file", 6);
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr("test file " + path.string()));
      return error.kind();
    }
    return ErrorKind::internal;
  }
  TemporaryDirectory folder;
  std::filesystem::path path = folder.path() / "file";
};

TEST_F(PrivateFile, IsReadUpToItsLimit) {
  EXPECT_EQ(read_private_file(path, "test file", 6), "secret");
  write("secrets", 0600);
  EXPECT_EQ(refusal(), ErrorKind::corrupt);
}

TEST_F(PrivateFile, ThatOthersMayReadOrWriteIsRefused) {
  for (const mode_t mode : {0640u, 0620u, 0604u, 0602u}) {
    write("secret", mode);
    EXPECT_EQ(refusal(), ErrorKind::permission);
  }
  write("secret", 0400);
  EXPECT_EQ(read_private_file(path, "test file", 6), "secret");
}

TEST_F(PrivateFile, ThatIsAPipeOrAFolderIsRefusedWithoutWaiting) {
  std::filesystem::remove(path);
  EXPECT_EQ(refusal(), ErrorKind::io);
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  EXPECT_EQ(refusal(), ErrorKind::corrupt);
  std::filesystem::remove(path);
  std::filesystem::create_directory(path);
  EXPECT_EQ(refusal(), ErrorKind::corrupt);
}

}  // namespace
}  // namespace ptrain::os
