#include "tools/relay/neighbours/neighbour_link.h"

#include <algorithm>
#include <utility>

#include "libcommon/net/relay_codec.h"
#include "libcommon/net/socket_monitor.h"
#include "libcommon/net/zmq_parts.h"

namespace ptrain::relay {
namespace {

constexpr int kNeverMs = 24 * 3600 * 1000;  // libzmq's own reconnection: see net/dialer.cc
constexpr int kAnswersPerRound = 64;        // then members have their turn
constexpr Duration kFirstRetry = std::chrono::milliseconds(20);
constexpr Duration kLastRetry = std::chrono::seconds(1);
constexpr Duration kAttemptTimeout = std::chrono::seconds(5);  // name, connection and handshake

}  // namespace

struct NeighbourLink::Connection {
  Connection(zmq::context_t& context, const net::TicketRelay& neighbour, const net::KeyPair& own)
      : dealer(context, zmq::socket_type::dealer), monitor(context, dealer) {
    net::configure(dealer, neighbour.control.host);
    dealer.set(zmq::sockopt::maxmsgsize, static_cast<std::int64_t>(net::kMaxAnswerBytes));
    dealer.set(zmq::sockopt::reconnect_ivl, kNeverMs);
    dealer.set(zmq::sockopt::curve_serverkey, zmq::const_buffer(neighbour.control.key->data(), 32));
    dealer.set(zmq::sockopt::curve_publickey, zmq::const_buffer(own.public_key().data(), 32));
    dealer.set(zmq::sockopt::curve_secretkey, zmq::const_buffer(own.secret_key().data(), 32));
    dealer.connect(zmq_address(neighbour.control));
  }

  zmq::socket_t dealer;
  net::SocketMonitor monitor;
};

NeighbourLink::NeighbourLink(zmq::context_t& context, net::TicketRelay neighbour, net::KeyPair own,
                             Mirror mirror)
    : context_(context),
      neighbour_(std::move(neighbour)),
      own_(std::move(own)),
      mirror_(std::move(mirror)),
      backoff_(kFirstRetry) {}

NeighbourLink::~NeighbourLink() = default;

void NeighbourLink::add_poll_items(std::vector<zmq_pollitem_t>& items) {
  if (!connection_) return;
  items.push_back({connection_->dealer.handle(), 0, ZMQ_POLLIN, 0});
  items.push_back({connection_->monitor.events().handle(), 0, ZMQ_POLLIN, 0});
}

void NeighbourLink::dial(TimePoint now) {
  connection_ = std::make_unique<Connection>(context_, neighbour_, own_);
  attempt_ends_ = now + kAttemptTimeout;
}

void NeighbourLink::hang_up(TimePoint now, std::string why, MirrorNews& news) {
  connection_.reset();
  connected_ = false;
  trouble_ = std::move(why);
  mirror_.lost(news);
  retry_at_ = now + backoff_;
  backoff_ = std::min(2 * backoff_, kLastRetry);
}

void NeighbourLink::take_monitor_events(TimePoint now, MirrorNews& news) {
  using Kind = net::SocketMonitor::Kind;
  while (connection_) {
    const auto event = connection_->monitor.next();
    if (!event) return;
    if (event->kind == Kind::connected) {
      connected_ = true;
      trouble_.clear();
      mirror_.connected(now);
    } else if (event->kind == Kind::refused) {
      hang_up(now, "it does not admit this relay: does it name it as a neighbour?", news);
    } else if (event->kind == Kind::garbled) {
      hang_up(now, "the handshake failed: is that its key?", news);
    } else if (event->kind == Kind::closed) {
      hang_up(now, connected_ ? "the connection broke" : "connection refused", news);
    }
  }
}

void NeighbourLink::take_answers(TimePoint now, MirrorNews& news) {
  for (int i = 0; i < kAnswersPerRound; ++i) {
    const auto message = net::receive_parts(connection_->dealer, 1);
    if (!message) return;
    if (message->too_many) continue;
    const zmq::message_t& part = message->parts[0];
    const auto answer =
        net::decode_answer({static_cast<const std::byte*>(part.data()), part.size()});
    if (const auto* good = std::get_if<net::Answer>(&answer)) {
      mirror_.take(*good, now, news);
      backoff_ = kFirstRetry;
    }
  }
}

void NeighbourLink::process(TimePoint now, MirrorNews& news) {
  if (!connection_ && now >= retry_at_) dial(now);
  if (connection_) take_answers(now, news);
  take_monitor_events(now, news);
  if (connection_ && !connected_ && now >= attempt_ends_) hang_up(now, "no answer", news);
  if (connected_ && mirror_.overdue(now)) hang_up(now, "it does not answer", news);
  mirror_.expire(now, news);
  while (connected_) {
    const auto request = mirror_.next_request(now);
    if (!request) break;
    net::send_parts(connection_->dealer, nullptr, net::encode(*request), {});
  }
}

}  // namespace ptrain::relay
