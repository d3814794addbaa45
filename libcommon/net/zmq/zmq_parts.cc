#include "libcommon/net/zmq/zmq_parts.h"

#include <cstring>
#include <memory>
#include <utility>

#include "libcommon/net/session.h"
#include "libcommon/wire/envelope.h"

namespace ptrain::net {
namespace {

// Shorter payloads are cheaper to copy than to share.
constexpr std::size_t kShareBytes = 4096;
static_assert(kSendQueueFrames > static_cast<int>(kLinkCost / kFrameCharge) + kReceiveQueueParts);
constexpr int kKeepaliveIdleSeconds = 60;
// libzmq's own reconnection, put off until long after we have closed the socket. Switching it
// off (-1) would make libzmq 4.3.4 drop the pipe when the connection breaks, even between two
// parts that we are reading, and abort ("!_more", src/fq.cpp).
constexpr int kNeverMs = 24 * 3600 * 1000;

zmq::message_t copied(std::span<const std::byte> bytes) {
  return zmq::message_t(bytes.data(), bytes.size());
}

zmq::message_t shared(const wire::Buffer& payload) {
  auto* share = new wire::Buffer(payload);
  return zmq::message_t(
      const_cast<std::byte*>(payload.data()), payload.size(),
      [](void*, void* hint) { delete static_cast<wire::Buffer*>(hint); }, share);
}

bool send_part(zmq::socket_t& socket, zmq::message_t part, bool more) {
  const auto flags =
      zmq::send_flags::dontwait | (more ? zmq::send_flags::sndmore : zmq::send_flags::none);
  try {
    return uninterrupted([&] { return socket.send(part, flags).has_value(); });
  } catch (const zmq::error_t& error) {
    if (error.num() == EHOSTUNREACH) return false;
    throw;
  }
}

bool has_more(void* socket) {
  int events = 0;
  std::size_t size = sizeof events;
  return zmq_getsockopt(socket, ZMQ_EVENTS, &events, &size) == 0 && (events & ZMQ_POLLIN) != 0;
}

// ZMTP 3: one byte of flags, one or eight of length.
std::uint64_t part_overhead(std::size_t bytes) { return bytes < 256 ? 2 : 9; }

// CurveZMQ's MESSAGE: its name, a short nonce, an authenticator, and the flags once more.
constexpr std::size_t kCurveOverhead = 8 + 8 + 16 + 1;

// What a frame of these part sizes adds up to on the wire, without TCP and below.
FrameBytes frame_bytes(std::size_t header_bytes, std::size_t payload_bytes) {
  FrameBytes bytes{.payload = payload_bytes,
                   .overhead = header_bytes + part_overhead(header_bytes)};
  if (payload_bytes > 0) bytes.overhead += part_overhead(payload_bytes);
  return bytes;
}

}  // namespace

int milliseconds(Duration duration) {
  return static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(duration).count());
}

void configure(zmq::socket_t& socket, const std::string& host) {
  socket.set(zmq::sockopt::linger, milliseconds(kSocketLinger));
  socket.set(zmq::sockopt::sndhwm, kSendQueueFrames);
  socket.set(zmq::sockopt::rcvhwm, kReceiveQueueParts);
  socket.set(zmq::sockopt::maxmsgsize, kMaxPartBytes);
  socket.set(zmq::sockopt::handshake_ivl, milliseconds(kHandshakeTimeout));
  // Whether the peer makes progress is the session's to judge; TCP clears half-open connections
  // away. Not libzmq's heartbeats: in 4.3.4 their timer aborts the process ("!_io_error",
  // src/stream_engine_base.cpp) when a connection breaks while its input is held back.
  socket.set(zmq::sockopt::tcp_keepalive, 1);
  socket.set(zmq::sockopt::tcp_keepalive_idle, kKeepaliveIdleSeconds);
  if (host.starts_with('[')) socket.set(zmq::sockopt::ipv6, true);
}

void connect_once(zmq::socket_t& socket, Endpoint endpoint, const std::string& address,
                  const std::optional<KeyPair>& own) {
  socket.set(zmq::sockopt::reconnect_ivl, kNeverMs);
  if (endpoint.key && own) {
    socket.set(zmq::sockopt::curve_serverkey, zmq::const_buffer(endpoint.key->data(), 32));
    socket.set(zmq::sockopt::curve_publickey, zmq::const_buffer(own->public_key().data(), 32));
    socket.set(zmq::sockopt::curve_secretkey, zmq::const_buffer(own->secret_key().data(), 32));
  }
  endpoint.host = address;
  socket.connect(zmq_address(endpoint));
}

PollItem poll_item(zmq::socket_t& socket) {
  PollItem item{.fd = -1, .socket = socket.handle(), .more_waits = has_more};
  std::size_t size = sizeof item.fd;
  zmq_getsockopt(item.socket, ZMQ_FD, &item.fd, &size);
  return item;
}

int poll(std::span<const PollItem> items, Duration timeout) {
  std::vector<zmq_pollitem_t> polled;
  for (const PollItem& item : items) polled.push_back({item.socket, item.fd, ZMQ_POLLIN, 0});
  return zmq_poll(polled.data(), static_cast<int>(polled.size()), milliseconds(timeout));
}

std::uint64_t wire_bytes(std::size_t part_bytes, bool curve) {
  const std::size_t bytes = part_bytes + (curve ? kCurveOverhead : 0);
  return bytes + part_overhead(bytes);
}

// Deprecated, because the socket may be closed by the time that it is used; we only ask it things.
int socket_of(zmq::message_t& part) { return zmq_msg_get(part.handle(), ZMQ_SRCFD); }

std::optional<Parts> receive_parts(zmq::socket_t& socket, std::size_t limit) {
  Parts result;
  zmq::message_t part;
  const auto receive = [&] {
    return uninterrupted([&] { return socket.recv(part, zmq::recv_flags::dontwait).has_value(); });
  };
  if (!receive()) return std::nullopt;
  while (true) {
    const bool more = part.more();
    result.plain_bytes += wire_bytes(part.size(), false);
    result.curve_bytes += wire_bytes(part.size(), true);
    if (result.parts.size() < limit) {
      result.parts.push_back(std::move(part));
    } else {
      result.too_many = true;
    }
    if (!more) return result;
    part = zmq::message_t();
    // The parts of a message arrive together.
    if (!receive()) return std::nullopt;
  }
}

bool send_parts(zmq::socket_t& socket, const std::string* routing_id,
                std::span<const std::byte> header, const wire::Buffer& payload) {
  if (routing_id != nullptr) {
    if (!send_part(socket, copied(std::as_bytes(std::span(*routing_id))), true)) return false;
  }
  if (!send_part(socket, copied(header), !payload.empty())) return false;
  if (payload.empty()) return true;
  return send_part(socket, payload.size() < kShareBytes ? copied(payload.bytes()) : shared(payload),
                   false);
}

std::optional<FrameBytes> send_frame(zmq::socket_t& socket, const std::string* routing_id,
                                     const wire::Frame& frame, std::uint64_t ordinal) {
  const std::vector<std::byte> header = wire::encode_header(frame, ordinal);
  const auto* data = std::get_if<wire::Data>(&frame);
  const wire::Buffer payload = data == nullptr ? wire::Buffer() : data->payload;
  if (!send_parts(socket, routing_id, header, payload)) return std::nullopt;
  return frame_bytes(header.size(), payload.size());
}

std::variant<Arrival, wire::Malformed> read_frame(std::span<zmq::message_t> parts) {
  if (parts.empty()) return wire::Malformed{"a frame without a header"};
  wire::Buffer payload;
  if (parts.size() > 1) {
    auto part = std::make_shared<zmq::message_t>(std::move(parts[1]));
    const std::span bytes(static_cast<const std::byte*>(part->data()), part->size());
    payload = wire::Buffer(std::move(part), bytes);
  }
  const std::span header(static_cast<const std::byte*>(parts[0].data()), parts[0].size());
  const FrameBytes bytes = frame_bytes(header.size(), payload.size());
  auto decoded = wire::decode_frame(header, std::move(payload));
  if (auto* malformed = std::get_if<wire::Malformed>(&decoded)) return std::move(*malformed);
  auto& numbered = std::get<wire::NumberedFrame>(decoded);
  return Arrival{.frame = std::move(numbered.frame), .bytes = bytes, .ordinal = numbered.ordinal};
}

}  // namespace ptrain::net
