#include "libcommon/net/relay_link.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "libcommon/net/relay_codec.h"
#include "libcommon/net/zmq_parts.h"

namespace ptrain::net {
namespace {

constexpr int kNeverMs = 24 * 3600 * 1000;  // libzmq's own reconnection: see dialer.cc
constexpr int kAnswersPerRound = 64;        // then the other sockets have their turn

}  // namespace

struct RelayLink::Connection {
  // `address` stands for the relay's host.
  Connection(zmq::context_t& context, const RelayLinkOptions& options, const std::string& address)
      : dealer(context, zmq::socket_type::dealer), monitor(context, dealer) {
    configure(dealer, address);
    dealer.set(zmq::sockopt::maxmsgsize, static_cast<std::int64_t>(kMaxAnswerBytes));
    dealer.set(zmq::sockopt::reconnect_ivl, kNeverMs);
    dealer.set(zmq::sockopt::curve_serverkey, zmq::const_buffer(options.control.key->data(), 32));
    dealer.set(zmq::sockopt::curve_publickey,
               zmq::const_buffer(options.key.public_key().data(), 32));
    dealer.set(zmq::sockopt::curve_secretkey,
               zmq::const_buffer(options.key.secret_key().data(), 32));
    Endpoint numeric = options.control;
    numeric.host = address;
    dealer.connect(zmq_address(numeric));
  }

  zmq::socket_t dealer;
  SocketMonitor monitor;
};

RelayLink::RelayLink(zmq::context_t& context, RelayLinkOptions options)
    : context_(context),
      options_(std::move(options)),
      membership_(options_.membership),
      host_(options_.control.host) {}

RelayLink::~RelayLink() = default;

void RelayLink::add_poll_items(std::vector<zmq_pollitem_t>& items) {
  if (!connection_) return;
  items.push_back({connection_->dealer.handle(), 0, ZMQ_POLLIN, 0});
  items.push_back({connection_->monitor.events().handle(), 0, ZMQ_POLLIN, 0});
}

TimePoint RelayLink::next_tick() const {
  if (!connection_) return std::max(pace_.retry_at(), look_up_again_);
  return connected_ ? std::min(membership_.next_tick(), vigil_.next_look()) : pace_.ends_at();
}

void RelayLink::dial(TimePoint now) {
  const auto address = host_.address(now);
  if (!address) {
    if (host_.unknown()) trouble_ = "its name has no address";
    look_up_again_ = now + (host_.unknown() ? kLookupPause : kLookupPoll);
    return;
  }
  connection_ = std::make_unique<Connection>(context_, options_, *address);
  pace_.begin(now);
}

void RelayLink::hang_up(TimePoint now, std::string why) {
  if (!connected_) host_.doubt(now);
  connection_.reset();
  connected_ = false;
  trouble_ = std::move(why);
  membership_.lost();
  vigil_.end();
  pace_.ended(now);
}

void RelayLink::take_monitor_events(TimePoint now) {
  while (connection_) {
    const auto event = connection_->monitor.next();
    if (!event) return;
    switch (event->kind) {
      case SocketMonitor::Kind::reached:
        pace_.answered(now);
        vigil_.begin(event->socket, now);
        break;
      case SocketMonitor::Kind::connected:
        connected_ = true;
        trouble_.clear();
        membership_.connected(now);
        break;
      case SocketMonitor::Kind::refused:
        pace_.wait_longest();
        hang_up(now, "it does not admit our key");
        break;
      case SocketMonitor::Kind::garbled:
        hang_up(now, "the handshake failed: is the key in the ticket its key?");
        break;
      case SocketMonitor::Kind::closed:
        hang_up(now, connected_ ? "the connection broke" : "connection refused");
        break;
    }
  }
}

std::vector<membership::Event> RelayLink::process(TimePoint now) {
  std::vector<membership::Event> events;
  if (!connection_ && now >= pace_.retry_at()) dial(now);
  for (int i = 0; connection_ && i < kAnswersPerRound; ++i) {
    const auto message = receive_parts(connection_->dealer, 1);
    if (!message) break;
    if (message->too_many) continue;
    const zmq::message_t& part = message->parts[0];
    const auto answer = decode_answer({static_cast<const std::byte*>(part.data()), part.size()});
    if (const auto* good = std::get_if<Answer>(&answer)) {
      std::ranges::move(membership_.take(*good, now), std::back_inserter(events));
      pace_.worked();
    }
  }
  take_monitor_events(now);
  if (connection_ && !connected_ && now >= pace_.ends_at()) hang_up(now, "no answer");
  if (connected_ && vigil_.silent(now)) hang_up(now, "it does not answer");
  if (connected_ && membership_.overdue(now)) hang_up(now, "it does not answer");
  while (connected_) {
    const auto request = membership_.next_request(now);
    if (!request) break;
    send_parts(connection_->dealer, nullptr, encode(*request), {});
  }
  return events;
}

}  // namespace ptrain::net
