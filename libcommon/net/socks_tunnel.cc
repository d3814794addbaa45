#include "libcommon/net/socks_tunnel.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libcommon/base/clock.h"
#include "libcommon/base/error.h"
#include "libcommon/net/address_reach.h"
#include "libcommon/net/local_splice.h"
#include "libcommon/net/numeric_address.h"
#include "libcommon/os/file_descriptor.h"
#include "libcommon/os/quiet_thread.h"
#include "libcommon/os/tcp_silence.h"
#include "libcommon/os/tcp_tuning.h"

namespace ptrain::net {
namespace {

using os::FileDescriptor;

std::string text_of(const addrinfo& address) {
  sockaddr_storage storage{};
  std::memcpy(&storage, address.ai_addr, std::min<std::size_t>(address.ai_addrlen, sizeof storage));
  return endpoint_of(storage).host;
}

// RFC 1928.
constexpr std::uint8_t kSocksVersion = 5;
constexpr std::uint8_t kNoAuthentication = 0;
constexpr std::uint8_t kConnect = 1;
constexpr std::uint8_t kAddressIpv4 = 1;
constexpr std::uint8_t kAddressName = 3;
constexpr std::uint8_t kAddressIpv6 = 4;
constexpr std::uint8_t kSucceeded = 0;
constexpr std::uint8_t kNotAllowed = 2;

constexpr Duration kConnectTimeout = std::chrono::seconds(5);
// A SYN that was lost in an outage is repeated late, so another connection is tried beside it.
constexpr Duration kNextAttempt = std::chrono::seconds(1);
constexpr Duration kGreetingTimeout = std::chrono::seconds(5);
// A relay waits a minute for the other side, and answers then.
constexpr Duration kJoinTimeout = std::chrono::seconds(75);
// While nothing is sent: has the other end forgotten us?
constexpr int kKeepaliveIdleS = 5;
constexpr int kKeepaliveIntervalS = 1;

// What ends a tunnel early, as a value of its own: it is not an error of the program.
struct End {
  SocksTunnel::State state;
  std::string why;
};

constexpr Duration kLook = os::kTcpSilenceInterval;

int milliseconds_until(TimePoint then, TimePoint now) {
  return static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(then - now).count());
}

// What a connection's own failure was; 0 while it has none.
int error_of(int fd) {
  int error = 0;
  socklen_t length = sizeof error;
  ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
  return error;
}

// The numeric address that a socket is connected to.
std::string address_of(int fd) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  char text[NI_MAXHOST] = "";
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (::getpeername(fd, generic, &length) != 0 ||
      ::getnameinfo(generic, length, text, sizeof text, nullptr, 0, NI_NUMERICHOST) != 0) {
    return "";
  }
  return text;
}

}  // namespace

class SocksTunnel::Work {
 public:
  explicit Work(SocksTunnelOptions options)
      : options_(std::move(options)),
        stop_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
        changed_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (!stop_.valid() || !changed_.valid()) throw io_error("make an eventfd", errno);
  }

  void run() {
    try {
      const FileDescriptor relay = dial_relay();
      greet(relay.get());
      present_token(relay.get());
      const auto local = meet_libzmq(options_.local_end, options_.local_name, stop_.get(),
                                     [this] { set(State::joined, ""); });
      if (local) splice_both_ways(relay.get(), local->get(), stop_.get(), *options_.carried);
      set(State::ended, "");
    } catch (const End& end) {
      set(end.state, end.why);
    } catch (const std::exception& error) {
      set(State::failed, error.what());
    }
  }

  void stop() { signal(stop_.get()); }
  int changed_fd() const { return changed_.get(); }

  State take_state() {
    std::uint64_t ignored = 0;
    [[maybe_unused]] const auto got = ::read(changed_.get(), &ignored, sizeof ignored);
    const std::lock_guard lock(mutex_);
    return state_;
  }
  std::string why() const {
    const std::lock_guard lock(mutex_);
    return why_;
  }
  bool presented() const { return presented_; }
  std::string relay_address() const {
    const std::lock_guard lock(mutex_);
    return relay_address_;
  }

 private:
  static void signal(int fd) {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(fd, &one, sizeof one);
  }

  void set(State state, std::string why) {
    {
      const std::lock_guard lock(mutex_);
      state_ = state;
      why_ = std::move(why);
    }
    signal(changed_.get());
  }

  [[noreturn]] void fail(const std::string& why) const {
    throw End{State::failed,
              fmt::format("relay {}:{}: {}", options_.relay_host, options_.relay_port, why)};
  }

  // Waits until `fd` can do `events`.
  void await(int fd, short events, TimePoint deadline, const char* what) const {
    std::array<pollfd, 2> items{pollfd{fd, events, 0}, pollfd{stop_.get(), POLLIN, 0}};
    os::TcpSilence silence;
    while (true) {
      const TimePoint now = std::chrono::steady_clock::now();
      if (now >= deadline) fail(fmt::format("no {} in time", what));
      const int count = ::poll(items.data(), items.size(),
                               milliseconds_until(std::min(deadline, now + kLook), now));
      if (items[1].revents != 0) throw End{State::ended, ""};
      if (count > 0 && items[0].revents != 0) return;
      if (count == 0 && is_silent(silence, fd)) fail("it fell silent");
    }
  }

  static bool is_silent(os::TcpSilence& silence, int fd) {
    const auto state = os::read_tcp_state(fd);
    return state && silence.noticed(*state, std::chrono::steady_clock::now());
  }

  FileDescriptor dial_relay();
  FileDescriptor dial(const std::vector<const addrinfo*>& addresses);
  FileDescriptor begin_to_dial(const addrinfo& address, std::string& why) const;
  void greet(int relay);
  void present_token(int relay);
  void send_all(int fd, std::span<const std::uint8_t> bytes, TimePoint deadline) const;
  void receive_all(int fd, std::span<std::uint8_t> bytes, TimePoint deadline) const;

  const SocksTunnelOptions options_;
  FileDescriptor stop_;
  FileDescriptor changed_;
  mutable std::mutex mutex_;
  State state_ = State::waiting;
  std::string why_;
  std::string relay_address_;
  std::atomic<bool> presented_ = false;
};

// ---- To the relay.

FileDescriptor SocksTunnel::Work::dial_relay() {
  std::string host = options_.known_address.empty() ? options_.relay_host : options_.known_address;
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int code =
      ::getaddrinfo(host.c_str(), std::to_string(options_.relay_port).c_str(), &hints, &found);
  if (code != 0) fail(::gai_strerror(code));
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(found, &::freeaddrinfo);
  std::vector<const addrinfo*> addresses;
  for (const addrinfo* each = found; each != nullptr; each = each->ai_next) {
    if (!options_.hearsay || may_be_dialled(text_of(*each))) addresses.push_back(each);
  }
  if (addresses.empty()) fail("a peer has named it, and it is in no place for others to dial");
  FileDescriptor relay = dial(addresses);
  os::tune_tcp(relay.get());
  const std::lock_guard lock(mutex_);
  relay_address_ = address_of(relay.get());
  return relay;
}

// One address after the other, and again, each a second after the one before or when that has
// failed; the first that answers is taken.
FileDescriptor SocksTunnel::Work::dial(const std::vector<const addrinfo*>& addresses) {
  const TimePoint begin = std::chrono::steady_clock::now();
  const TimePoint deadline = begin + kConnectTimeout;
  TimePoint next = begin;
  std::size_t begun = 0;
  std::vector<FileDescriptor> attempts;
  std::string why = "it has no address";
  while (true) {
    const TimePoint now = std::chrono::steady_clock::now();
    if (now >= deadline) fail("no answer in time");
    if (attempts.empty() && begun >= addresses.size()) fail(why);
    if (now >= next) {
      FileDescriptor attempt = begin_to_dial(*addresses[begun++ % addresses.size()], why);
      // What fails at once makes room for the next address, as long as there is a new one.
      const bool at_once = !attempt.valid() && begun < addresses.size();
      next = at_once ? now : now + kNextAttempt;
      if (attempt.valid()) attempts.push_back(std::move(attempt));
      if (attempts.empty()) continue;
    }
    std::vector<pollfd> items{{stop_.get(), POLLIN, 0}};
    for (const FileDescriptor& each : attempts) items.push_back({each.get(), POLLOUT, 0});
    ::poll(items.data(), items.size(), milliseconds_until(std::min(next, deadline), now));
    if (items[0].revents != 0) throw End{State::ended, ""};
    for (std::size_t i = attempts.size(); i-- > 0;) {
      if (items[i + 1].revents == 0) continue;
      const int error = error_of(attempts[i].get());
      if (error == 0) return std::move(attempts[i]);
      why = std::generic_category().message(error);
      attempts.erase(attempts.begin() + static_cast<std::ptrdiff_t>(i));
      if (begun < addresses.size()) next = now;
    }
  }
}

FileDescriptor SocksTunnel::Work::begin_to_dial(const addrinfo& address, std::string& why) const {
  FileDescriptor fd(::socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) throw io_error("make a socket", errno);
  const int on = 1;
  ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ::setsockopt(fd.get(), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  ::setsockopt(fd.get(), IPPROTO_TCP, TCP_KEEPIDLE, &kKeepaliveIdleS, sizeof kKeepaliveIdleS);
  ::setsockopt(fd.get(), IPPROTO_TCP, TCP_KEEPINTVL, &kKeepaliveIntervalS,
               sizeof kKeepaliveIntervalS);
  if (::connect(fd.get(), address.ai_addr, address.ai_addrlen) == 0 || errno == EINPROGRESS) {
    return fd;
  }
  why = std::generic_category().message(errno);
  return {};
}

void SocksTunnel::Work::send_all(int fd, std::span<const std::uint8_t> bytes,
                                 TimePoint deadline) const {
  while (!bytes.empty()) {
    const ssize_t count = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count > 0) {
      bytes = bytes.subspan(static_cast<std::size_t>(count));
    } else if (errno == EAGAIN) {
      await(fd, POLLOUT, deadline, "room to send");
    } else if (errno != EINTR) {
      fail(std::generic_category().message(errno));
    }
  }
}

void SocksTunnel::Work::receive_all(int fd, std::span<std::uint8_t> bytes,
                                    TimePoint deadline) const {
  while (!bytes.empty()) {
    const ssize_t count = ::recv(fd, bytes.data(), bytes.size(), 0);
    if (count > 0) {
      bytes = bytes.subspan(static_cast<std::size_t>(count));
    } else if (count == 0) {
      fail("it hung up");
    } else if (errno == EAGAIN) {
      await(fd, POLLIN, deadline, "answer");
    } else if (errno != EINTR) {
      fail(std::generic_category().message(errno));
    }
  }
}

void SocksTunnel::Work::greet(int relay) {
  const TimePoint deadline = std::chrono::steady_clock::now() + kGreetingTimeout;
  send_all(relay, std::array{kSocksVersion, std::uint8_t{1}, kNoAuthentication}, deadline);
  std::array<std::uint8_t, 2> choice{};
  receive_all(relay, choice, deadline);
  if (choice != std::array{kSocksVersion, kNoAuthentication}) fail("it does not speak SOCKS5");
}

void SocksTunnel::Work::present_token(int relay) {
  const TimePoint deadline = std::chrono::steady_clock::now() + kJoinTimeout;
  std::vector<std::uint8_t> request{kSocksVersion, kConnect, 0, kAddressName,
                                    static_cast<std::uint8_t>(options_.token.size())};
  request.insert(request.end(), options_.token.begin(), options_.token.end());
  request.insert(request.end(), {0, 1});  // a port, because the format wants one
  presented_ = true;
  send_all(relay, request, deadline);

  std::array<std::uint8_t, 4> reply{};
  receive_all(relay, reply, deadline);
  if (reply[0] != kSocksVersion) fail("it does not speak SOCKS5");
  if (reply[1] == kNotAllowed) throw End{State::refused, "the relay does not take the token"};
  if (reply[1] != kSucceeded) {
    throw End{State::failed, fmt::format("the relay answered with SOCKS error {}", reply[1])};
  }
  std::size_t rest = 0;  // the address that it bound, which tells us nothing
  if (reply[3] == kAddressIpv4) rest = 4 + 2;
  if (reply[3] == kAddressIpv6) rest = 16 + 2;
  if (reply[3] == kAddressName) {
    std::array<std::uint8_t, 1> length{};
    receive_all(relay, length, deadline);
    rest = length[0] + 2u;
  }
  std::vector<std::uint8_t> bound(rest);
  receive_all(relay, bound, deadline);
}

// ---- The owner's side.

SocksTunnel::SocksTunnel(SocksTunnelOptions options)
    : work_(std::make_shared<Work>(std::move(options))) {
  os::quiet_thread([work = work_] { work->run(); }).detach();
}

SocksTunnel::~SocksTunnel() { work_->stop(); }

int SocksTunnel::changed_fd() const { return work_->changed_fd(); }
SocksTunnel::State SocksTunnel::state() { return work_->take_state(); }
std::string SocksTunnel::why() const { return work_->why(); }
bool SocksTunnel::presented() const { return work_->presented(); }
std::string SocksTunnel::relay_address() const { return work_->relay_address(); }

}  // namespace ptrain::net
