#include "libcommon/net/client.h"

#include <utility>

#include <fmt/format.h>

#include "libcommon/net/endpoint_rules.h"
#include "libcommon/net/network_thread.h"

namespace ptrain::net {
namespace {

// See server.cc.
constexpr StageIndex kServerStage{0};
constexpr StageIndex kClientStage{1};
// What may wait for one server: requests, which are small.
constexpr std::uint64_t kQueueLimit = 64u << 20;

NetworkOptions network_options(const ClientOptions& options) {
  check_connections(options.connections);
  return {.terms = {.self = kClientStage,
                    .introduction = options.introduction,
                    .credit_window = options.credit_window,
                    .message_limit = options.message_limit,
                    .stall_timeout = options.silence_timeout / 2,
                    .silence_timeout = options.silence_timeout,
                    .reconnect_timeout = options.reconnect_timeout,
                    .outage_timeout = options.reconnect_timeout},
          .key = options.key,
          .counterpart = kServerStage,
          .connections = options.connections,
          .appear_timeout = options.connect_timeout};
}

}  // namespace

class Client::Impl {
 public:
  Impl(ClientOptions options, Log& log, const Clock& clock)
      : have_key(options.key.has_value()),
        exchange({.queue = kQueueLimit, .wake_after = options.credit_window.value() / 4}),
        network(network_options(options), exchange, log, clock),
        thread(network, exchange) {}

  bool have_key;
  Exchange exchange;
  Network network;
  NetworkThread thread;  // uses the members above
  std::uint64_t handles = 0;
};

Client::Client(ClientOptions options, Log& log, const Clock& clock)
    : impl_(std::make_unique<Impl>(std::move(options), log, clock)) {}

Client::~Client() = default;

PeerHandle Client::dial(const Endpoint& server) {
  check_dialled(server, impl_->have_key, to_string(server));
  const PeerHandle peer(++impl_->handles);
  impl_->exchange.order_dial(peer, server, zmq_address(server));
  return peer;
}

void Client::hang_up(PeerHandle server) { impl_->exchange.order_forget(server); }

std::optional<PeerEvent> Client::receive(Duration timeout) {
  return impl_->exchange.next_event(timeout);
}

bool Client::send(PeerHandle to, wire::Message message) {
  return impl_->exchange.try_post(to, std::move(message));
}

Traffic Client::traffic(PeerHandle server) const { return impl_->exchange.traffic(server); }

}  // namespace ptrain::net
