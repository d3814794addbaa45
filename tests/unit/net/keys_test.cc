#include "libcommon/net/keys.h"

#include <array>
#include <fstream>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

#include "tests/unit/net/mesh_fixture.h"

namespace ptrain::net {
namespace {

using testing::HasSubstr;

struct Keys : testing::Test {
  Keys() {
    std::string pattern = testing::TempDir() + "ptrain-keys-XXXXXX";
    folder = ::mkdtemp(pattern.data());
  }
  ~Keys() override { std::filesystem::remove_all(folder); }
  void write(const std::string& text) const {
    std::ofstream(path()) << text;
    ::chmod(path().c_str(), 0600);
  }
  std::filesystem::path path() const { return folder / "sub" / "key"; }
  std::filesystem::path folder;
};

// What libzmq makes of the same secret.
TEST_F(Keys, AreThoseOfCurve) {
  const KeyPair key = KeyPair::generate();
  std::array<char, 41> secret{};
  std::array<char, 41> derived{};
  PublicKey expected;
  zmq_z85_encode(secret.data(), key.secret_key().data(), key.secret_key().size());
  ASSERT_EQ(zmq_curve_public(derived.data(), secret.data()), 0);
  zmq_z85_decode(expected.data(), derived.data());
  EXPECT_EQ(key.public_key(), expected);
}

TEST_F(Keys, AreMadeOnFirstUseAndStayTheSame) {
  const KeyPair made = load_or_create_key(path());
  const KeyPair again = load_or_create_key(path());
  EXPECT_EQ(made.public_key(), again.public_key());
  EXPECT_EQ(made.secret_key(), again.secret_key());
  struct stat status {};
  ASSERT_EQ(::stat(path().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600u);
  ASSERT_EQ(::stat(path().parent_path().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0700u);
}

TEST_F(Keys, ProcessesThatStartTogetherEndUpWithOneKey) {
  std::vector<PublicKey> keys(8);
  std::vector<std::thread> threads;
  std::filesystem::create_directory(folder / "sub");
  for (auto& key : keys) {
    threads.emplace_back([&key, this] { key = load_or_create_key(path()).public_key(); });
  }
  for (auto& thread : threads) thread.join();
  for (const auto& key : keys) EXPECT_EQ(key, keys[0]);
}

TEST_F(Keys, AFileThatOthersMayReadIsRefusedWithTheRemedy) {
  load_or_create_key(path());
  for (const mode_t mode : {0640u, 0604u, 0660u}) {
    ::chmod(path().c_str(), mode);
    EXPECT_THAT(
        error_text(ErrorKind::permission, [&] { load_key(path()); }),
        testing::AllOf(HasSubstr(path().string()), HasSubstr("chmod 600 " + path().string())));
  }
  ::chmod(path().c_str(), 0400);
  EXPECT_NO_THROW(load_key(path()));
}

TEST_F(Keys, AFileThatIsNoKeyIsRefused) {
  const KeyPair one = load_or_create_key(path());
  for (const std::string& text :
       {std::string(), std::string("public 12\nsecret 34\n"), std::string(5000, 'x'),
        "public " + to_hex(one.public_key()) + "\n"}) {
    write(text);
    EXPECT_THAT(error_text(ErrorKind::corrupt, [&] { load_key(path()); }),
                HasSubstr(path().string()));
  }
}

TEST_F(Keys, AFileThatWasCarriedOverAnotherSystemIsRead) {
  const KeyPair key = load_or_create_key(path());
  write("\xef\xbb\xbf\r\npublic  " + to_hex(key.public_key()) + " \r\nsecret\t" +
        to_hex(key.secret_key()) + "\r\n");
  EXPECT_EQ(load_key(path()).public_key(), key.public_key());
}

TEST_F(Keys, HalvesThatDoNotBelongTogetherAreRefused) {
  const KeyPair one = load_or_create_key(path());
  const KeyPair other = KeyPair::generate();
  write("public " + to_hex(one.public_key()) + "\nsecret " + to_hex(other.secret_key()) + "\n");
  EXPECT_THAT(error_text(ErrorKind::corrupt, [&] { load_key(path()); }),
              HasSubstr("do not belong together"));
}

TEST_F(Keys, AMissingFileIsNamed) {
  EXPECT_THAT(error_text(ErrorKind::io, [&] { load_key(path()); }), HasSubstr(path().string()));
}

}  // namespace
}  // namespace ptrain::net
