#include "libcommon/net/socks_tunnel.h"

#include <chrono>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libcommon/os/file_descriptor.h"

namespace ptrain::net {
namespace {

using namespace std::chrono_literals;
using os::FileDescriptor;

enum Outcome { kFine, kNoNamespaces, kNotSetUp, kGaveUp, kBusy };

bool set_loopback(bool up) {
  const FileDescriptor fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{.ifr_ifrn = {"lo"}, .ifr_ifru = {}};
  request.ifr_flags = static_cast<short>(up ? IFF_UP | IFF_LOOPBACK : IFF_LOOPBACK);
  return ::ioctl(fd.get(), SIOCSIFFLAGS, &request) == 0;
}

constexpr const char* kNowhere = "10.9.9.9";

// What this host sends there comes back to it, and is dropped.
bool route_to_nowhere() {
  const FileDescriptor fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  char device[] = "lo";
  rtentry route{};
  sockaddr_in address{};
  address.sin_family = AF_INET;
  ::inet_pton(AF_INET, kNowhere, &address.sin_addr);
  std::memcpy(&route.rt_dst, &address, sizeof address);
  address.sin_addr.s_addr = INADDR_BROADCAST;
  std::memcpy(&route.rt_genmask, &address, sizeof address);
  route.rt_flags = RTF_UP | RTF_HOST;
  route.rt_dev = device;
  return ::ioctl(fd.get(), SIOCADDRT, &route) == 0;
}

double cpu_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

// Whether a connection of this network is being begun: state 2 of /proc/net/tcp.
bool is_dialling() {
  std::ifstream table("/proc/self/net/tcp");
  std::string line;
  std::getline(table, line);  // the heading
  while (std::getline(table, line)) {
    std::istringstream fields(line);
    std::string number, local, remote, state;
    if (fields >> number >> local >> remote >> state && state == "02") return true;
  }
  return false;
}

// In a process and a network of its own: while the tunnel's first SYN is under way, the only route
// goes, so that every further attempt fails at once.
Outcome dial_while_the_route_goes() {
  if (::unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) return kNoNamespaces;
  if (!set_loopback(true) || !route_to_nowhere()) return kNotSetUp;
  SocksTunnel tunnel({.relay_host = kNowhere, .relay_port = 7101, .token = "x", .local_name = "y"});
  for (int i = 0; i < 2000 && !is_dialling(); ++i) std::this_thread::sleep_for(1ms);
  if (!is_dialling() || !set_loopback(false)) return kNotSetUp;
  const double before = cpu_seconds();
  std::this_thread::sleep_for(2s);
  if (tunnel.state() != SocksTunnel::State::waiting) return kGaveUp;
  return cpu_seconds() - before < 0.3 ? kFine : kBusy;
}

TEST(SocksTunnel, WhileAnAttemptIsUnderWayAndOthersFailAtOnceItWaits) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) ::_exit(dial_while_the_route_goes());
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == kNoNamespaces) GTEST_SKIP() << "no network namespaces here";
  EXPECT_EQ(WEXITSTATUS(status), kFine);
}

}  // namespace
}  // namespace ptrain::net
