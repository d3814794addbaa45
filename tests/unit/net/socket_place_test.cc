#include "libcommon/net/zmq/socket_place.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "libcommon/base/error.h"
#include "libcommon/os/file_descriptor.h"
#include "tests/unit/os/temporary_directory.h"

namespace ptrain::net {
namespace {

using ::testing::HasSubstr;

class ASocketPlace : public ::testing::Test {
 protected:
  os::FileDescriptor bound(int backlog) const {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::ranges::copy(path_, address.sun_path);
    os::FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(socket.get(), backlog), 0);
    return socket;
  }
  std::string refusal() const {
    try {
      check_socket_place(path_);
      return "";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::io);
      return error.what();
    }
  }

  os::TemporaryDirectory directory_;
  std::string path_ = directory_.path() / "s";
};

TEST_F(ASocketPlace, MayBeEmpty) { EXPECT_EQ(refusal(), ""); }

TEST_F(ASocketPlace, MayHoldASocketThatNobodyListensToAnyMore) {
  bound(1).reset();
  EXPECT_TRUE(std::filesystem::exists(path_));
  EXPECT_EQ(refusal(), "");
}

TEST_F(ASocketPlace, IsNotTakenFromOneWhoListens) {
  const os::FileDescriptor listener = bound(0);
  EXPECT_THAT(refusal(), HasSubstr("listen on ipc://" + path_ + ": Address already in use"));
  // The look itself has filled the queue of a listener that takes one.
  EXPECT_THAT(refusal(), HasSubstr("Address already in use"));
  EXPECT_THAT(refusal(), HasSubstr("Address already in use"));
}

TEST_F(ASocketPlace, IsNotTakenFromAFileAFolderOrALink) {
  std::ofstream(path_) << "precious";
  EXPECT_THAT(refusal(), HasSubstr(path_ + ": a file is there, which stays"));
  std::filesystem::remove(path_);
  std::filesystem::create_directory(path_);
  EXPECT_THAT(refusal(), HasSubstr("a folder is there"));
  std::filesystem::remove(path_);
  std::filesystem::create_symlink("nowhere", path_);
  EXPECT_THAT(refusal(), HasSubstr("a symbolic link is there"));
}

TEST_F(ASocketPlace, IsNoneOfTheFileSystemForAnAbstractName) {
  std::ofstream("@ptrain-socket-place-test") << "";
  EXPECT_NO_THROW(check_socket_place("@ptrain-socket-place-test"));
  std::filesystem::remove("@ptrain-socket-place-test");
}

}  // namespace
}  // namespace ptrain::net
