#include "tools/relay/carrier/echo.h"

#include <cerrno>
#include <iterator>
#include <utility>

#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "libcommon/base/error.h"
#include "libcommon/os/quiet_thread.h"
#include "tools/relay/carrier/listening_socket.h"

namespace ptrain::relay {
namespace {

constexpr Duration kTick = std::chrono::milliseconds(200);
// Before the other sockets have their turn.
constexpr int kRequestsPerTurn = 64;
// A port is asked of the kernel for TCP, and may be another's for UDP.
constexpr int kPortAttempts = 16;

class Wake final : public Watched {
 public:
  void on_events(std::uint32_t) override {}
};

void set_port(sockaddr_storage& address, std::uint16_t port) {
  if (address.ss_family == AF_INET) {
    reinterpret_cast<sockaddr_in&>(address).sin_port = htons(port);
  } else {
    reinterpret_cast<sockaddr_in6&>(address).sin6_port = htons(port);
  }
}

}  // namespace

class Echo::Datagrams final : public Watched {
 public:
  Datagrams(Echo& echo, os::FileDescriptor socket, std::size_t index)
      : echo_(echo), socket_(std::move(socket)), index_(index) {
    echo_.datagrams_[index] = socket_.get();
    if (!echo_.poller_.watch(socket_.get(), *this, EPOLLIN)) throw io_error("watch", errno);
  }

  void on_events(std::uint32_t) override {
    for (int i = 0; i < kRequestsPerTurn && answer_one(); ++i) {
    }
  }

 private:
  bool answer_one() {
    std::array<std::uint8_t, kEchoRequestBytes + 1> bytes;  // one more, to see what is too long
    sockaddr_storage from{};
    socklen_t size = sizeof from;
    auto* address = reinterpret_cast<sockaddr*>(&from);
    const ssize_t count = ::recvfrom(socket_.get(), bytes.data(), bytes.size(), 0, address, &size);
    if (count < 0) return errno != EAGAIN;
    const auto request = read_echo_request(std::span(bytes).first(static_cast<std::size_t>(count)));
    if (!request) {
      ++echo_.malformed_;
    } else if (echo_.may_ask(from)) {
      const EchoReply reply = echo_reply(request->nonce, from);
      if (request->to_port != 0) set_port(from, request->to_port);
      if (::sendto(answering(request->how), reply.data(), reply.size(), 0, address, size) > 0) {
        ++echo_.answered_;
      }
    }
    return true;
  }

  int answering(EchoAnswer how) const {
    return echo_.datagrams_[how == EchoAnswer::from_other_port ? 1 - index_ : index_];
  }

  Echo& echo_;
  os::FileDescriptor socket_;
  const std::size_t index_;  // of its port
};

class Echo::Connection final : public Watched {
 public:
  Connection(Echo& echo, os::FileDescriptor socket, const sockaddr_storage& from,
             TimePoint deadline)
      : socket_(std::move(socket)), deadline_(deadline), echo_(echo), from_(from) {}

  void on_events(std::uint32_t) override {
    const ssize_t count =
        ::recv(socket_.get(), bytes_.data() + filled_, bytes_.size() - filled_, MSG_DONTWAIT);
    if (count < 0 && errno == EAGAIN) return;
    if (count > 0) filled_ += static_cast<std::size_t>(count);
    if (count > 0 && filled_ < bytes_.size()) return;
    // A connection has one port at each end.
    const auto request = read_echo_request(std::span(bytes_).first(filled_));
    if (request && request->how == EchoAnswer::straight) {
      const EchoReply reply = echo_reply(request->nonce, from_);
      if (::send(socket_.get(), reply.data(), reply.size(), MSG_NOSIGNAL) > 0) ++echo_.answered_;
    } else {
      ++echo_.malformed_;
    }
    echo_.remove(self_);
  }

  os::FileDescriptor socket_;
  const TimePoint deadline_;
  Connections::iterator self_;

 private:
  Echo& echo_;
  const sockaddr_storage from_;
  std::array<std::uint8_t, kEchoRequestBytes> bytes_;
  std::size_t filled_ = 0;
};

class Echo::Listener final : public Watched {
 public:
  Listener(Echo& echo, os::FileDescriptor socket) : echo_(echo), socket_(std::move(socket)) {
    if (!echo_.poller_.watch(socket_.get(), *this, EPOLLIN)) throw io_error("watch", errno);
  }

  void on_events(std::uint32_t) override {
    for (int i = 0; i < kRequestsPerTurn; ++i) {
      sockaddr_storage from{};
      socklen_t size = sizeof from;
      os::FileDescriptor socket(::accept4(socket_.get(), reinterpret_cast<sockaddr*>(&from), &size,
                                          SOCK_NONBLOCK | SOCK_CLOEXEC));
      // Without descriptors the oldest connection gives its own.
      if (!socket.valid() && errno == EMFILE && !echo_.connections_.empty()) {
        echo_.remove(echo_.connections_.begin());
      }
      if (!socket.valid()) return;
      if (echo_.may_ask(from)) echo_.add(std::move(socket), from);
    }
  }

 private:
  Echo& echo_;
  os::FileDescriptor socket_;
};

Echo::Echo(EchoOptions options, const Clock& clock)
    : options_(std::move(options)), clock_(clock), budgets_(options_.requests) {
  for (std::size_t i = 0; i < ports_.size(); ++i) open(options_.ports[i], i);
  thread_ = os::quiet_thread([this] { run(); });
}

Echo::~Echo() {
  stop_ = true;
  stop_bell_.ring();
  thread_.join();
}

void Echo::open(std::uint16_t port, std::size_t index) {
  for (int attempt = 1;; ++attempt) {
    os::FileDescriptor listener = listening_socket(options_.host, port, SOCK_STREAM);
    ports_[index] = port_of(listener);
    try {
      sockets_.push_back(std::make_unique<Datagrams>(
          *this, listening_socket(options_.host, ports_[index], SOCK_DGRAM), index));
    } catch (const Error&) {
      if (port != 0 || attempt == kPortAttempts) throw;
      continue;
    }
    sockets_.push_back(std::make_unique<Listener>(*this, std::move(listener)));
    return;
  }
}

bool Echo::may_ask(const sockaddr_storage& from) {
  const TimePoint now = clock_.now();
  const SourceAddress source = source_of(from);
  if (!budgets_.has(source, now)) {
    ++over_limits_;
    return false;
  }
  budgets_.spend(source, now);
  return true;
}

void Echo::add(os::FileDescriptor socket, const sockaddr_storage& from) {
  if (connections_.size() >= options_.connections) {
    ++over_limits_;
    remove(connections_.begin());
  }
  connections_.emplace_back(*this, std::move(socket), from,
                            clock_.now() + options_.connection_life);
  const auto connection = std::prev(connections_.end());
  connection->self_ = connection;
  if (!poller_.watch(connection->socket_.get(), *connection, EPOLLIN)) remove(connection);
}

void Echo::remove(Connections::iterator connection) {
  poller_.forget(connection->socket_.get(), *connection);
  connections_.erase(connection);
}

void Echo::run() {
  try {
    serve();
  } catch (const std::exception& error) {
    trouble_.say(error.what());
  }
}

void Echo::serve() {
  Wake wake;
  poller_.watch(stop_bell_.fd(), wake, EPOLLIN);
  while (!stop_) {
    poller_.wait(kTick);
    while (!connections_.empty() && connections_.front().deadline_ <= clock_.now()) {
      ++over_limits_;
      remove(connections_.begin());
    }
  }
}

}  // namespace ptrain::relay
