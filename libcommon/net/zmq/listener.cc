#include "libcommon/net/zmq/listener.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/net/address_reach.h"
#include "libcommon/net/zmq/socket_place.h"
#include "libcommon/net/zmq/zmq_parts.h"
#include "libcommon/os/tcp_tuning.h"
#include "libcommon/wire/envelope.h"

namespace ptrain::net {
namespace {

constexpr std::size_t kMaxParts = 3;  // routing id, header, payload
constexpr int kFramesPerRound = 64;   // then the other sockets have their turn
constexpr std::uint64_t kFirst = 1;   // of the frames of a connection

// The key that ZAP found, or the empty text on a plain socket.
std::string user_id_of(zmq::message_t& part) {
  const char* value = zmq_msg_gets(part.handle(), "User-Id");
  return value == nullptr ? std::string() : std::string(value);
}

// What counts as one host: the /64 of an IPv6 address, nothing for who came over a socket file.
std::string host_of(zmq::message_t& part) {
  const char* value = zmq_msg_gets(part.handle(), "Peer-Address");
  const auto address = value == nullptr ? std::nullopt : parse_address(value);
  return address ? counted_as(*address) : std::string();
}

std::string address_of(zmq::message_t& part) {
  const char* value = zmq_msg_gets(part.handle(), "Peer-Address");
  return value == nullptr ? std::string("this host") : std::string(value);
}

}  // namespace

class Listener::AcceptedPath final : public Path {
 public:
  AcceptedPath(LinkId id, std::string name, Route route, const wire::LinkIntroduction& introduction,
               PeerHandle peer, zmq::socket_t& router, std::string routing_id, int socket,
               std::string user_id)
      : Path(id, std::move(name), route, introduction),
        peer_(peer),
        router_(router),
        routing_id_(std::move(routing_id)),
        socket_(socket),
        user_id_(std::move(user_id)) {}

  std::optional<FrameBytes> send(const wire::Frame& frame, std::uint64_t ordinal) override {
    return send_frame(router_, &routing_id_, frame, ordinal);
  }
  PeerHandle peer() const { return peer_; }
  const std::string& user_id() const { return user_id_; }
  int socket() const { return socket_; }
  void forget_socket() { socket_ = -1; }

 private:
  PeerHandle peer_;
  zmq::socket_t& router_;
  std::string routing_id_;
  int socket_;  // libzmq's
  std::string user_id_;
};

Listener::Listener(zmq::context_t& context, ListenerOptions options, const std::string& host,
                   Admission& admission)
    : options_(std::move(options)),
      admission_(admission),
      router_(context, zmq::socket_type::router),
      monitor_(context, router_),
      guard_({}, options_.carried) {
  Endpoint listen = options_.endpoint;
  if (!host.empty()) listen.host = host;
  configure(router_, listen.host);
  router_.set(zmq::sockopt::router_mandatory, true);
  if (options_.key) {
    other_key_ = ", or one for another key than ours, " + to_hex(options_.key->public_key());
    router_.set(zmq::sockopt::curve_server, true);
    router_.set(zmq::sockopt::curve_secretkey,
                zmq::const_buffer(options_.key->secret_key().data(), 32));
    router_.set(zmq::sockopt::zap_domain, "ptrain");
  }
  std::string address = zmq_address(listen);
  if (listen.kind == EndpointKind::direct && listen.port == 0) {
    address = fmt::format("tcp://{}:*", listen.host);
  }
  const bool local_socket = listen.kind == EndpointKind::ipc;
  if (local_socket) check_socket_place(listen.path);
  try {
    router_.bind(address);
  } catch (const zmq::error_t& error) {
    const char* hint = "the address must be one of this machine's, or 0.0.0.0 for all";
    if (error.num() == EADDRINUSE)
      hint = "another process has that port: end it, or listen on another";
    if (local_socket) hint = "its folder must be there, and one that can be written";
    throw io_error("listen on " + zmq_address(options_.endpoint), error.num(), hint);
  }
}

Listener::~Listener() = default;

Endpoint Listener::bound() const {
  Endpoint endpoint = options_.endpoint;
  if (endpoint.kind == EndpointKind::direct) {
    const std::string address = router_.get(zmq::sockopt::last_endpoint);
    endpoint.port = parse_endpoint(address).port;
  }
  endpoint.key.reset();
  if (options_.key) endpoint.key = options_.key->public_key();
  return endpoint;
}

void Listener::add_poll_items(std::vector<PollItem>& items) {
  items.push_back(poll_item(router_));
  items.push_back(poll_item(monitor_.events()));
  guard_.add_poll_items(items);
}

void Listener::process(PathSink& sink, TimePoint now) {
  follow_connections(sink, now);
  for (int i = 0; i < kFramesPerRound; ++i) {
    auto message = receive_parts(router_, kMaxParts);
    if (!message) {
      guard_.nothing_waits();
      lose_closed(sink);
      break;
    }
    take(sink, std::move(*message), now);
  }
  for (const std::string& cut : guard_.look(now)) {
    sink.refused(options_.name.empty() ? cut : fmt::format("{}: {}", options_.name, cut));
  }
}

void Listener::follow_connections(PathSink& sink, TimePoint now) {
  while (auto event = monitor_.next()) {
    if (event->kind == SocketMonitor::Kind::accepted) {
      os::tune_tcp(event->socket);
      guard_.opened(event->socket, now);
    }
    if (event->kind == SocketMonitor::Kind::closed) {
      guard_.gone(event->socket);
      // The number may be that of another connection soon.
      for (auto& [routing_id, path] : paths_) {
        if (event->socket < 0 || path->socket() != event->socket) continue;
        path->forget_socket();
        closed_.insert(path->id());
      }
    }
    if (event->kind == SocketMonitor::Kind::garbled) {
      sink.refused(fmt::format("{}: not a handshake of ours{}", event->address, other_key_));
    }
  }
}

void Listener::lose_closed(PathSink& sink) {
  for (const LinkId id : std::exchange(closed_, {})) {
    const auto of_it = [id](const auto& entry) { return entry.second->id() == id; };
    if (std::erase_if(paths_, of_it) > 0) sink.path_lost(id);
  }
}

void Listener::take(PathSink& sink, Parts message, TimePoint now) {
  std::vector<zmq::message_t>& parts = message.parts;
  const std::string routing_id = parts[0].to_string();
  const std::string user_id = user_id_of(parts.back());
  const std::string address = address_of(parts.back());
  const int socket = socket_of(parts.back());
  const bool curve = options_.key.has_value();
  // The routing id is this side's own.
  guard_.took(socket, (curve ? message.curve_bytes : message.plain_bytes) -
                          wire_bytes(parts[0].size(), curve));
  std::variant<Arrival, wire::Malformed> decoded = wire::Malformed{"more parts than a frame"};
  if (!message.too_many) decoded = read_frame(std::span(parts).subspan(1));
  auto known = paths_.find(routing_id);
  if (auto* malformed = std::get_if<wire::Malformed>(&decoded)) {
    return sink.refused(fmt::format("{}: {}", address, malformed->why));
  }
  Arrival& arrival = std::get<Arrival>(decoded);
  if (known == paths_.end()) {
    const auto* hello = std::get_if<wire::Hello>(&arrival.frame);
    if (hello == nullptr) return;  // of a path that was closed, still on its way
    const Verdict verdict =
        admission_.judge({.hello = *hello, .key = user_id, .address = host_of(parts.back())});
    if (const auto* refusal = std::get_if<Rejection>(&verdict)) {
      const std::string with = user_id.empty() ? "" : " with key " + user_id;
      return refuse(sink, routing_id, address + with, *refusal);
    }
    // That it was accepted was told before its hello, and perhaps since we last looked: and the end
    // of the connection that had its socket's number before, which is not its own.
    follow_connections(sink, now);
    const PeerHandle peer = std::get<PeerHandle>(verdict);
    if (paths_of(peer) >= kMaxConnectionsOfPeer) {
      guard_.closed(socket, now);
      return sink.refused(
          fmt::format("{}: connection {} of one peer", address, kMaxConnectionsOfPeer + 1));
    }
    auto path = std::make_unique<AcceptedPath>(
        sink.next_path_id(), options_.name.empty() ? address : options_.name, options_.route,
        hello->link, peer, router_, routing_id, socket, user_id);
    known = paths_.emplace(routing_id, std::move(path)).first;
    guard_.introduced(socket);
    sink.path_opened(*known->second, peer);
  } else if (known->second->user_id() != user_id) {
    return sink.refused(fmt::format("{}: a frame with another key than its connection", address));
  }
  sink.arrived(known->second->id(), std::move(arrival));
}

std::size_t Listener::paths_of(PeerHandle peer) const {
  return static_cast<std::size_t>(std::ranges::count_if(
      paths_, [peer](const auto& entry) { return entry.second->peer() == peer; }));
}

void Listener::refuse(PathSink& sink, const std::string& routing_id, const std::string& caller,
                      const Rejection& refusal) {
  if (refusal.answer)
    send_parts(router_, &routing_id, wire::encode_header(*refusal.answer, kFirst), {});
  sink.refused(fmt::format("{}: {}", caller, refusal.why));
}

void Listener::close(LinkId id, TimePoint now) {
  closed_.erase(id);
  std::erase_if(paths_, [&](const auto& entry) {
    if (entry.second->id() != id) return false;
    guard_.closed(entry.second->socket(), now);
    return true;
  });
}

}  // namespace ptrain::net
