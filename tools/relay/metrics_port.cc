#include "tools/relay/metrics_port.h"

#include <utility>

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>

#include "libcommon/net/zmq/zmq_parts.h"
#include "tools/relay/carrier/listening_socket.h"

namespace ptrain::relay {
namespace {

// Whether the descriptor is ready for `events` before the time is over.
bool is_ready(int fd, short events, const SteadyClock& clock, TimePoint deadline) {
  const Duration left = deadline - clock.now();
  if (left <= Duration::zero()) return false;
  pollfd waiting{.fd = fd, .events = events, .revents = 0};
  return ::poll(&waiting, 1, net::milliseconds(left) + 1) == 1;
}

}  // namespace

MetricsPort::MetricsPort(std::uint16_t port, std::function<std::string()> page)
    : page_(std::move(page)),
      socket_(listening_socket("127.0.0.1", port, SOCK_STREAM)),
      port_(port_of(socket_)),
      thread_([this] { run(); }) {}

MetricsPort::~MetricsPort() {
  stop_bell_.ring();
  thread_.join();
}

void MetricsPort::run() {
  while (true) {
    pollfd waiting[] = {{.fd = stop_bell_.fd(), .events = POLLIN, .revents = 0},
                        {.fd = socket_.get(), .events = POLLIN, .revents = 0}};
    if (::poll(waiting, 2, -1) < 0) continue;  // a signal
    if (waiting[0].revents != 0) return;
    const os::FileDescriptor connection(
        ::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (connection.valid()) {
      answer(connection);
    } else {
      // Without descriptors accept4 fails at once, and the socket stays readable.
      ::poll(waiting, 1, net::milliseconds(kMetricsDeadline));
    }
  }
}

void MetricsPort::answer(const os::FileDescriptor& connection) const {
  const SteadyClock clock;
  const TimePoint deadline = clock.now() + kMetricsDeadline;
  std::string request;
  while (request.find("\r\n\r\n") == std::string::npos) {
    char part[1024];
    if (request.size() >= kMaxMetricsRequestBytes) return;
    if (!is_ready(connection.get(), POLLIN, clock, deadline)) return;
    const ssize_t size = ::recv(connection.get(), part, sizeof part, 0);
    if (size <= 0) return;
    request.append(part, static_cast<std::size_t>(size));
  }
  const std::string page = page_();
  const std::string text = fmt::format(
      "HTTP/1.0 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\n\r\n{}",
      page.size(), page);
  std::string_view left = text;
  while (!left.empty() && is_ready(connection.get(), POLLOUT, clock, deadline)) {
    const ssize_t size = ::send(connection.get(), left.data(), left.size(), MSG_NOSIGNAL);
    if (size <= 0) return;
    left.remove_prefix(static_cast<std::size_t>(size));
  }
}

}  // namespace ptrain::relay
