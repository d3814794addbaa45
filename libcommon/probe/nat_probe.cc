#include "libcommon/probe/nat_probe.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include <linux/errqueue.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>

#include "libcommon/base/error.h"
#include "libcommon/os/file_descriptor.h"

namespace ptrain::probe {
namespace {

constexpr Duration kStopLook = std::chrono::milliseconds(50);
constexpr int kMostAtOnce = 64;

os::FileDescriptor open_socket(int family, int type) {
  os::FileDescriptor socket(::socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.valid()) {
    throw Error(ErrorKind::io, std::string("no socket: ") + std::strerror(errno));
  }
  return socket;
}

// On a port of its own, known from the beginning.
os::FileDescriptor open_datagrams(int family) {
  os::FileDescriptor socket = open_socket(family, SOCK_DGRAM);
  sockaddr_storage any{};
  any.ss_family = static_cast<sa_family_t>(family);
  const socklen_t size = family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&any), size) != 0) {
    throw Error(ErrorKind::io, std::string("no port for UDP: ") + std::strerror(errno));
  }
  return socket;
}

void send(const os::FileDescriptor& socket, const NatDatagram& datagram) {
  const KernelAddress to = kernel_address(datagram.to);
  // One that does not get out is one that is lost.
  [[maybe_unused]] const ssize_t sent =
      ::sendto(socket.get(), datagram.bytes.data(), datagram.bytes.size(), 0, to.get(), to.size);
}

class NatProbe {
 public:
  NatProbe(const std::vector<EchoServer>& relays, const Clock& clock)
      : clock_(clock),
        relays_(relays),
        family_(is_v4(relays.front().host) ? AF_INET : AF_INET6),
        began_(clock.now()) {
    for (auto& socket : datagrams_) socket = open_datagrams(family_);
    survey_.emplace(relays, own_of_asker(), random_);
    for (const EchoServer& relay : relays) connect(relay);
    if (family_ == AF_INET) ask_routers();
  }

  std::optional<NatProbed> run(const std::function<bool()>& stop) {
    while (!over()) {
      if (stop()) return std::nullopt;
      for (const NatDatagram& datagram : survey_->due(clock_.now())) {
        send(datagrams_[static_cast<std::size_t>(datagram.from)], datagram);
      }
      wait();
    }
    return NatProbed{.findings = survey_->findings(),
                     .routers = std::move(routers_),
                     .took = clock_.now() - began_};
  }

 private:
  // TCP matters only where UDP brings nothing, but then it is waited for.
  bool over() const {
    if (clock_.now() - began_ >= kNatProbeTime) return true;
    if (!survey_->over()) return false;
    const bool answered = std::ranges::any_of(
        survey_->findings().echoes, [](const auto& echo) { return echo.round_trip.has_value(); });
    return answered || !connecting();
  }
  bool connecting() const {
    return std::ranges::any_of(connections_, [](const auto& socket) { return socket.valid(); });
  }

  // The address from which the kernel sends to the first relay that there is a way to, with the
  // port of the asker.
  std::optional<SocketAddress> own_of_asker() const {
    const auto bound = own_address(datagrams_[0].get());
    for (const EchoServer& relay : relays_) {
      const os::FileDescriptor trial = open_socket(family_, SOCK_DGRAM);
      const KernelAddress there = kernel_address({relay.host, relay.ports[0]});
      if (::connect(trial.get(), there.get(), there.size) != 0) continue;
      auto own = own_address(trial.get());
      if (!own || !bound) continue;
      own->port = bound->port;
      return own;
    }
    return std::nullopt;
  }

  void connect(const EchoServer& relay) {
    os::FileDescriptor socket = open_socket(family_, SOCK_STREAM);
    const KernelAddress there = kernel_address({relay.host, relay.ports[0]});
    if (::connect(socket.get(), there.get(), there.size) != 0 && errno != EINPROGRESS) {
      socket.reset();
    }
    connections_.push_back(std::move(socket));
  }

  // Where a packet ends its life says so, and with it the router's address on that side.
  void ask_routers() {
    hops_ = open_datagrams(family_);
    const int on = 1;
    ::setsockopt(hops_.get(), IPPROTO_IP, IP_RECVERR, &on, sizeof on);
    EchoNonce nonce;
    random_.fill(std::as_writable_bytes(std::span(nonce)));
    const EchoServer& relay = relays_.front();
    for (int hops = 1; hops <= kAskedHops; ++hops) {
      // The last packet's end may be told already, and would be this one's error instead.
      int told = 0;
      socklen_t size = sizeof told;
      ::getsockopt(hops_.get(), SOL_SOCKET, SO_ERROR, &told, &size);
      ::setsockopt(hops_.get(), IPPROTO_IP, IP_TTL, &hops, sizeof hops);
      send(hops_, {NatSocket::asker, {relay.host, relay.ports[0]}, to_bytes({.nonce = nonce})});
    }
  }

  void wait() {
    std::vector<pollfd> polled;
    for (const auto& socket : datagrams_) polled.push_back({socket.get(), POLLIN, 0});
    polled.push_back({hops_.get(), POLLIN, 0});  // errors are always told; without a socket nothing
    for (const auto& socket : connections_) polled.push_back({socket.get(), POLLOUT, 0});
    const Duration until = std::min(survey_->next(), clock_.now() + kStopLook) - clock_.now();
    const auto left =
        std::chrono::duration_cast<std::chrono::nanoseconds>(std::max(until, Duration::zero()));
    const timespec time{.tv_sec = 0, .tv_nsec = static_cast<long>(left.count())};
    if (::ppoll(polled.data(), polled.size(), &time, nullptr) <= 0) return;
    for (std::size_t i = 0; i < kNatSockets; ++i) {
      if (polled[i].revents != 0) read(static_cast<NatSocket>(i));
    }
    if (polled[kNatSockets].revents != 0) read_routers();
    for (std::size_t i = 0; i < connections_.size(); ++i) {
      if (polled[kNatSockets + 1 + i].revents != 0) finish(i);
    }
  }

  void read(NatSocket at) {
    for (int i = 0; i < kMostAtOnce; ++i) {
      std::array<std::uint8_t, kEchoQuestionBytes + 1> bytes;
      sockaddr_storage from{};
      socklen_t size = sizeof from;
      const ssize_t count = ::recvfrom(datagrams_[static_cast<std::size_t>(at)].get(), bytes.data(),
                                       bytes.size(), 0, reinterpret_cast<sockaddr*>(&from), &size);
      if (count < 0) return;
      const auto sender = socket_address(from);
      if (!sender) continue;
      survey_->received(at, *sender, std::span(bytes).first(static_cast<std::size_t>(count)),
                        clock_.now());
    }
  }

  void read_routers() {
    for (int i = 0; i < kMostAtOnce; ++i) {
      std::array<std::uint8_t, 512> bytes;
      std::array<std::uint8_t, 512> control;
      iovec part{bytes.data(), bytes.size()};
      msghdr message{};
      message.msg_iov = &part;
      message.msg_iovlen = 1;
      message.msg_control = control.data();
      message.msg_controllen = control.size();
      if (::recvmsg(hops_.get(), &message, MSG_ERRQUEUE) < 0) break;
      for (cmsghdr* each = CMSG_FIRSTHDR(&message); each != nullptr;
           each = CMSG_NXTHDR(&message, each)) {
        if (each->cmsg_level != IPPROTO_IP || each->cmsg_type != IP_RECVERR) continue;
        auto* error = reinterpret_cast<sock_extended_err*>(CMSG_DATA(each));
        if (error->ee_origin != SO_EE_ORIGIN_ICMP) continue;
        sockaddr_storage offender{};
        std::memcpy(&offender, SO_EE_OFFENDER(error), sizeof(sockaddr_in));
        if (const auto router = socket_address(offender)) routers_.push_back(router->host);
      }
    }
    std::array<std::uint8_t, 1> answer;  // from a relay that is so near
    while (::recv(hops_.get(), answer.data(), answer.size(), 0) >= 0) {
    }
  }

  void finish(std::size_t relay) {
    int error = 0;
    socklen_t size = sizeof error;
    const int socket = connections_[relay].get();
    if (::getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0) {
      survey_->connected(relay, clock_.now() - began_);
    }
    connections_[relay].reset();
  }

  const Clock& clock_;
  SystemRandom random_;
  std::vector<EchoServer> relays_;
  int family_;
  TimePoint began_;
  std::array<os::FileDescriptor, kNatSockets> datagrams_;
  os::FileDescriptor hops_;
  std::vector<os::FileDescriptor> connections_;  // one for each relay, until it is known
  std::vector<net::AddressBytes> routers_;
  std::optional<NatSurvey> survey_;
};

}  // namespace

std::optional<NatProbed> probe_nat(const std::vector<EchoServer>& relays,
                                   const std::function<bool()>& stop, const Clock& clock) {
  return NatProbe(relays, clock).run(stop);
}

}  // namespace ptrain::probe
