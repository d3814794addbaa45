#include "libcommon/net/listener.h"

#include <utility>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/net/zmq_parts.h"
#include "libcommon/wire/envelope.h"

namespace ptrain::net {
namespace {

constexpr std::size_t kMaxParts = 3;  // routing id, header, payload
constexpr int kFramesPerRound = 64;   // then the other sockets have their turn

// The key that ZAP found, or the empty text on a plain socket.
std::string user_id_of(zmq::message_t& part) {
  const char* value = zmq_msg_gets(part.handle(), "User-Id");
  return value == nullptr ? std::string() : std::string(value);
}

std::string address_of(zmq::message_t& part) {
  const char* value = zmq_msg_gets(part.handle(), "Peer-Address");
  return value == nullptr ? std::string("this host") : std::string(value);
}

}  // namespace

class Listener::AcceptedPath final : public Path {
 public:
  AcceptedPath(zmq::socket_t& router, std::string routing_id, PathId id, std::string user_id,
               std::string name, wire::Strand strand)
      : router_(router),
        routing_id_(std::move(routing_id)),
        id_(id),
        user_id_(std::move(user_id)),
        name_(std::move(name)),
        strand_(strand) {}

  PathId id() const override { return id_; }
  std::string name() const override { return name_; }
  Route route() const override { return {.kind = PathKind::direct}; }
  wire::Strand strand() const override { return strand_; }
  std::optional<FrameBytes> send(const wire::Frame& frame, std::uint64_t ordinal) override {
    return send_frame(router_, &routing_id_, frame, ordinal);
  }
  const std::string& user_id() const { return user_id_; }

 private:
  zmq::socket_t& router_;
  std::string routing_id_;
  PathId id_;
  std::string user_id_;
  std::string name_;
  wire::Strand strand_;
};

Listener::Listener(zmq::context_t& context, ListenerOptions options, Admission& admission)
    : options_(std::move(options)),
      admission_(admission),
      router_(context, zmq::socket_type::router),
      monitor_(context, router_) {
  configure(router_, options_.listen.host);
  router_.set(zmq::sockopt::router_mandatory, true);
  if (options_.key) {
    router_.set(zmq::sockopt::curve_server, true);
    router_.set(zmq::sockopt::curve_secretkey,
                zmq::const_buffer(options_.key->secret_key().data(), 32));
    router_.set(zmq::sockopt::zap_domain, "ptrain");
  }
  const Endpoint& listen = options_.listen;
  std::string address = zmq_address(listen);
  if (listen.kind == EndpointKind::direct && listen.port == 0) {
    address = fmt::format("tcp://{}:*", listen.host);
  }
  try {
    router_.bind(address);
  } catch (const zmq::error_t& error) {
    const bool in_use = error.num() == EADDRINUSE;
    throw io_error("listen on " + zmq_address(listen), error.num(),
                   in_use ? "another process has that port: end it, or listen on another"
                          : "the address must be one of this machine's, or 0.0.0.0 for all");
  }
}

Listener::~Listener() = default;

Endpoint Listener::bound() const {
  Endpoint endpoint = options_.listen;
  if (endpoint.kind == EndpointKind::direct) {
    const std::string address = router_.get(zmq::sockopt::last_endpoint);
    endpoint.port = parse_endpoint(address).port;
  }
  endpoint.key.reset();
  if (options_.key) endpoint.key = options_.key->public_key();
  return endpoint;
}

void Listener::add_poll_items(std::vector<zmq_pollitem_t>& items) {
  items.push_back({router_.handle(), 0, ZMQ_POLLIN, 0});
  items.push_back({monitor_.events().handle(), 0, ZMQ_POLLIN, 0});
}

void Listener::process(PathSink& sink, TimePoint) {
  while (auto event = monitor_.next()) {
    if (event->kind == SocketMonitor::Kind::garbled) {
      sink.refused(fmt::format("{}: not a ZeroMQ handshake of ours", event->address));
    }
  }
  for (int i = 0; i < kFramesPerRound; ++i) {
    auto message = receive_parts(router_, kMaxParts);
    if (!message) return;
    take(sink, std::move(message->parts), message->too_many);
  }
}

void Listener::take(PathSink& sink, std::vector<zmq::message_t> parts, bool too_many) {
  const std::string routing_id = parts[0].to_string();
  const std::string user_id = user_id_of(parts.back());
  const std::string address = address_of(parts.back());
  std::variant<Arrival, wire::Malformed> decoded = wire::Malformed{"more parts than a frame"};
  if (!too_many) decoded = read_frame(std::span(parts).subspan(1));
  auto known = paths_.find(routing_id);
  if (auto* malformed = std::get_if<wire::Malformed>(&decoded)) {
    return sink.refused(fmt::format("{}: {}", address, malformed->why));
  }
  Arrival& arrival = std::get<Arrival>(decoded);
  if (known == paths_.end()) {
    const auto* hello = std::get_if<wire::Hello>(&arrival.frame);
    if (hello == nullptr) return;  // of a path that was closed, still on its way
    const Verdict verdict = admission_.judge({.hello = *hello, .key = user_id});
    if (const auto* refusal = std::get_if<Rejection>(&verdict)) {
      return refuse(sink, routing_id, address, *refusal);
    }
    known = paths_
                .emplace(routing_id,
                         std::make_unique<AcceptedPath>(router_, routing_id, sink.next_path_id(),
                                                        user_id, address, hello->strand))
                .first;
    sink.path_opened(*known->second, std::get<PeerHandle>(verdict), hello->channel);
  } else if (known->second->user_id() != user_id) {
    return sink.refused(fmt::format("{}: a frame with another key than its connection", address));
  }
  sink.arrived(known->second->id(), std::move(arrival));
}

void Listener::refuse(PathSink& sink, const std::string& routing_id, const std::string& address,
                      const Rejection& refusal) {
  if (refusal.answer) send_parts(router_, &routing_id, wire::encode_header(*refusal.answer), {});
  sink.refused(fmt::format("{}: {}", address, refusal.why));
}

void Listener::close(PathId id, TimePoint) {
  std::erase_if(paths_, [id](const auto& entry) { return entry.second->id() == id; });
}

}  // namespace ptrain::net
