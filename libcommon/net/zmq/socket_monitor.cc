#include "libcommon/net/zmq/socket_monitor.h"

#include <cstring>

#include <fmt/format.h>

#include "libcommon/net/zmq/zmq_parts.h"

namespace ptrain::net {
namespace {

constexpr int kWatched = ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_CONNECTED | ZMQ_EVENT_HANDSHAKE_SUCCEEDED |
                         ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
                         ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH |
                         ZMQ_EVENT_CLOSED | ZMQ_EVENT_DISCONNECTED;

SocketMonitor::Kind kind_of(std::uint16_t event) {
  switch (event) {
    case ZMQ_EVENT_ACCEPTED:
      return SocketMonitor::Kind::accepted;
    case ZMQ_EVENT_CONNECTED:
      return SocketMonitor::Kind::reached;
    case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
      return SocketMonitor::Kind::connected;
    case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
      return SocketMonitor::Kind::refused;
    case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL:
    case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
      return SocketMonitor::Kind::garbled;
    default:
      return SocketMonitor::Kind::closed;
  }
}

}  // namespace

SocketMonitor::SocketMonitor(zmq::context_t& context, zmq::socket_t& socket)
    : watched_(socket), events_(context, zmq::socket_type::pair) {
  // Unique in the context while the socket lives.
  const std::string address = fmt::format("inproc://monitor-{}", fmt::ptr(socket.handle()));
  if (zmq_socket_monitor(socket.handle(), address.c_str(), kWatched) != 0) throw zmq::error_t();
  events_.set(zmq::sockopt::linger, 0);
  // libzmq's own thread writes here, and would wait.
  events_.set(zmq::sockopt::rcvhwm, 0);
  events_.connect(address);
}

SocketMonitor::~SocketMonitor() { zmq_socket_monitor(watched_.handle(), nullptr, 0); }

std::optional<SocketMonitor::Event> SocketMonitor::next() {
  const auto message = receive_parts(events_, 2);
  if (!message || message->parts.size() != 2) return std::nullopt;
  std::uint16_t event = 0;
  std::int32_t value = 0;
  const zmq::message_t& what = message->parts[0];
  if (what.size() != sizeof event + sizeof value) return std::nullopt;
  std::memcpy(&event, what.data(), sizeof event);
  std::memcpy(&value, static_cast<const char*>(what.data()) + sizeof event, sizeof value);
  const bool names_socket = event == ZMQ_EVENT_ACCEPTED || event == ZMQ_EVENT_CONNECTED ||
                            event == ZMQ_EVENT_DISCONNECTED;
  return Event{kind_of(event), message->parts[1].to_string(), names_socket ? value : -1};
}

}  // namespace ptrain::net
