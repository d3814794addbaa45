#include "libcommon/net/server.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/net/endpoint_rules.h"
#include "libcommon/net/network_thread.h"

namespace ptrain::net {
namespace {

// A server is stage 0 to its clients, and all of them are stage 1 to it.
constexpr StageIndex kServerStage{0};
constexpr StageIndex kClientStage{1};
// What may wait for one client. Who sends looks at queued() long before; a single answer is
// always taken.
constexpr std::uint64_t kQueueLimit = 512u << 20;

void check(const ServerOptions& options) {
  check_listened(options.listen, options.key.has_value());
  if (options.credit_window.value() < kMinCreditWindow) {
    throw Error(ErrorKind::usage, fmt::format("a credit window of {} bytes, at least {} needed",
                                              options.credit_window.value(), kMinCreditWindow));
  }
  const std::size_t guests = options.guests.max_guests;
  if (guests == 0 || guests > kMaxServerGuests) {
    throw Error(ErrorKind::usage,
                fmt::format("{} clients at most, 1 to {} allowed", guests, kMaxServerGuests));
  }
}

NetworkOptions network_options(const ServerOptions& options) {
  return {.terms = {.self = kServerStage,
                    .introduction = options.guests.introduction,
                    .credit_window = options.credit_window,
                    .message_limit = options.message_limit,
                    .stall_timeout = options.silence_timeout / 2,
                    .silence_timeout = options.silence_timeout,
                    .reconnect_timeout = options.reconnect_timeout,
                    .outage_timeout = options.reconnect_timeout},
          .key = options.key,
          .counterpart = kClientStage};
}

}  // namespace

class Server::Impl {
 public:
  Impl(ServerOptions options, Log& log, const Clock& clock)
      : exchange({.queue = kQueueLimit,
                  .wake_after = options.credit_window.value() / 4,
                  .low_water = options.low_water.value()}),
        network(network_options(options), exchange, log, clock) {
    network.admit(std::make_unique<GuestAdmission>(std::move(options.guests)));
    network.listen(options.listen);
    listening = network.bound();
    thread = std::make_unique<NetworkThread>(network, exchange);
    thread->when_abandoned_say("the server ended");
  }

  Exchange exchange;
  Network network;
  Endpoint listening;
  std::unique_ptr<NetworkThread> thread;  // last: it uses the members above
};

Server::Server(ServerOptions options, Log& log, const Clock& clock) {
  check(options);
  impl_ = std::make_unique<Impl>(std::move(options), log, clock);
}

Server::~Server() = default;

Endpoint Server::listening() const { return impl_->listening; }

std::optional<PeerEvent> Server::receive(Duration timeout) {
  return impl_->exchange.next_event(timeout);
}

bool Server::send(PeerHandle to, wire::Message message) {
  return impl_->exchange.try_post(to, std::move(message));
}

ByteCount Server::queued(PeerHandle peer) const {
  return ByteCount(impl_->exchange.queued_cost(peer));
}

Traffic Server::traffic(PeerHandle peer) const { return impl_->exchange.traffic(peer); }

void Server::dismiss(PeerHandle peer, std::string_view why) {
  impl_->exchange.order_dismissal(peer, std::string(why));
}

bool Server::close(Duration linger) { return impl_->thread->end("", linger); }

}  // namespace ptrain::net
