// Frames on ZeroMQ sockets: the options that every socket of ours gets, how they are waited for,
// and multipart reading and writing with bounds. Network thread only.

#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include <zmq.hpp>

#include "libcommon/base/clock.h"
#include "libcommon/net/endpoint.h"
#include "libcommon/net/keys.h"
#include "libcommon/net/path.h"
#include "libcommon/net/poll_item.h"
#include "libcommon/wire/envelope.h"

namespace ptrain::net {

// A payload part, and what CURVE adds to it (flags, nonce, authenticator).
inline constexpr std::int64_t kMaxPartBytes = wire::kMaxFrameBytes + 256;
// Parts waiting to be read, a connection; it bounds what a stranger can make us hold.
inline constexpr int kReceiveQueueParts = 256;
// Frames waiting to be sent, a connection: more than a session has under way on a link, with what
// it answers. Who asks and never reads is cut off there.
inline constexpr int kSendQueueFrames = 32768;
// A connection that has not finished its handshake by then is dropped.
inline constexpr Duration kHandshakeTimeout = std::chrono::seconds(5);

// How long a socket goes on sending after it is closed: for what was said last to leave. Never
// 0, not even where nothing of it matters: 4.3.4 aborts the process ("Resource temporarily
// unavailable", src/session_base.cpp) when a connection breaks while its socket is closed at once
// and its last message has half left.
inline constexpr Duration kSocketLinger = std::chrono::milliseconds(200);

// Whole milliseconds, as libzmq counts time.
int milliseconds(Duration duration);

// A signal may end any call of libzmq before it has done anything: it is made again.
template <class Call>
auto uninterrupted(Call call) {
  while (true) {
    try {
      return call();
    } catch (const zmq::error_t& error) {
      if (error.num() != EINTR) throw;
    }
  }
}

// Options that differ from libzmq's defaults, for reasons that facts.md gives.
void configure(zmq::socket_t& socket, const std::string& host);

// Connects for as long as the first connection lives, to an address that stands for the endpoint's
// host. CURVE is spoken where both sides have a key.
void connect_once(zmq::socket_t& socket, Endpoint endpoint, const std::string& address,
                  const std::optional<KeyPair>& own);

// Wakes whoever waits for something to read from the socket.
PollItem poll_item(zmq::socket_t& socket);
// For those who have no event loop: zmq_poll(). How many of them wait to be read.
int poll(std::span<const PollItem> items, Duration timeout);

// What a part of that size takes on the wire, without TCP and below.
std::uint64_t wire_bytes(std::size_t part_bytes, bool curve);

struct Parts {
  std::vector<zmq::message_t> parts;
  bool too_many = false;          // the rest was dropped
  std::uint64_t plain_bytes = 0;  // on the wire, of all parts
  std::uint64_t curve_bytes = 0;
};

// libzmq's TCP socket that a part came from; -1 where it is not known.
int socket_of(zmq::message_t& part);

// The next multipart message, at most `limit` parts of it; nullopt when there is none.
std::optional<Parts> receive_parts(zmq::socket_t& socket, std::size_t limit);

// Sends a header and, if there is one, a payload, whose memory is shared with libzmq, not
// copied. `routing_id` goes before it if there is one. False when the socket refuses: the peer
// is not there.
bool send_parts(zmq::socket_t& socket, const std::string* routing_id,
                std::span<const std::byte> header, const wire::Buffer& payload);
std::optional<FrameBytes> send_frame(zmq::socket_t& socket, const std::string* routing_id,
                                     const wire::Frame& frame, std::uint64_t ordinal);

// A frame out of its header part and, if there is one, its payload part.
std::variant<Arrival, wire::Malformed> read_frame(std::span<zmq::message_t> parts);

}  // namespace ptrain::net
