#include "libcommon/os/tcp_tuning.h"

#include <array>
#include <cstdint>
#include <string>

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "libcommon/os/file_descriptor.h"

namespace ptrain::os {
namespace {

constexpr std::uint64_t kNoLimit = ~std::uint64_t{0};

std::string congestion_of(const FileDescriptor& socket) {
  std::array<char, 16> name{};
  socklen_t size = name.size();
  ::getsockopt(socket.get(), IPPROTO_TCP, TCP_CONGESTION, name.data(), &size);
  return name.data();
}

bool choose(const FileDescriptor& socket, const std::string& name) {
  return ::setsockopt(socket.get(), IPPROTO_TCP, TCP_CONGESTION, name.data(),
                      static_cast<socklen_t>(name.size())) == 0;
}

std::uint64_t pacing_rate_of(const FileDescriptor& socket) {
  std::uint64_t rate = 0;
  socklen_t size = sizeof rate;
  ::getsockopt(socket.get(), SOL_SOCKET, SO_MAX_PACING_RATE, &rate, &size);
  return rate;
}

// Over loopback, where reno is to be had everywhere.
class Connected : public testing::Test {
 protected:
  Connected() {
    const FileDescriptor listening = socket();
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(::bind(listening.get(), generic, size), 0);
    EXPECT_EQ(::listen(listening.get(), 1), 0);
    ::getsockname(listening.get(), generic, &size);
    EXPECT_EQ(::connect(near_.get(), generic, size), 0);
    EXPECT_TRUE(choose(near_, "reno"));
  }

  static FileDescriptor socket() {
    return FileDescriptor(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  }

  FileDescriptor near_ = socket();
};

TEST_F(Connected, ALongLinkGetsBbrWhereWeMayChooseIt) {
  const bool may_choose = choose(socket(), "bbr");
  tune_tcp(near_.get(), Duration::zero());
  EXPECT_EQ(congestion_of(near_), may_choose ? "bbr" : "reno");
}

TEST_F(Connected, OverALongLinkWhatIsSentIsSpread) {
  tune_tcp(near_.get(), Duration::zero());
  EXPECT_NE(pacing_rate_of(near_), kNoLimit);                  // that is no pacing
  EXPECT_GT(pacing_rate_of(near_), std::uint64_t{100} << 30);  // and nobody feels this limit
}

TEST_F(Connected, AShortLinkStaysAsItIs) {
  tune_tcp(near_.get());
  EXPECT_EQ(congestion_of(near_), "reno");
  EXPECT_EQ(pacing_rate_of(near_), kNoLimit);
}

TEST(TcpTuning, OtherSocketsStayAsTheyAre) {
  const FileDescriptor file(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  tune_tcp(file.get(), Duration::zero());
  EXPECT_EQ(pacing_rate_of(file), kNoLimit);
  tune_tcp(-1, Duration::zero());
}

}  // namespace
}  // namespace ptrain::os
