#include "libcommon/net/zmq/zmq_control_link.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "libcommon/net/relay_codec.h"
#include "libcommon/net/zmq/connection_guard.h"
#include "libcommon/net/zmq/zmq_parts.h"
#include "libcommon/os/descriptor_limit.h"

namespace ptrain::net {
namespace {

constexpr int kAnswersPerRound = 64;  // then the other sockets have their turn

// A relay that is no better than its word: of an answer that is not complete, one fits.
ConnectionBounds relay_bounds() {
  ConnectionBounds bounds;
  bounds.unfinished_bytes = kMaxAnswerBytes + kGuardSlackBytes;
  return bounds;
}

std::string refusal(const ControlLinkOptions& options) {
  if (!options.refused.empty()) return options.refused;
  return fmt::format("it does not serve our key {}; its own is {}",
                     to_hex(options.key.public_key()), to_hex(*options.control.key));
}

}  // namespace

struct ZmqControlLink::Connection {
  // `address` stands for the relay's host.
  Connection(zmq::context_t& context, const ControlLinkOptions& options, const std::string& address)
      : dealer(context, zmq::socket_type::dealer), monitor(context, dealer), guard(relay_bounds()) {
    configure(dealer, address);
    dealer.set(zmq::sockopt::maxmsgsize, static_cast<std::int64_t>(kMaxAnswerBytes));
    connect_once(dealer, options.control, address, options.key);
  }

  zmq::socket_t dealer;
  SocketMonitor monitor;
  ConnectionGuard guard;
  int socket = -1;  // libzmq's
};

ZmqControlLink::ZmqControlLink(zmq::context_t& context, ControlLinkOptions options)
    : context_(context), options_(std::move(options)), host_(options_.control.host) {}

ZmqControlLink::~ZmqControlLink() = default;

void ZmqControlLink::add_poll_items(std::vector<PollItem>& items) {
  if (!connection_) return;
  items.push_back(poll_item(connection_->dealer));
  items.push_back(poll_item(connection_->monitor.events()));
  connection_->guard.add_poll_items(items);
}

TimePoint ZmqControlLink::next_tick() const {
  if (!connection_) return std::max(pace_.retry_at(), look_up_again_);
  return std::min(connection_->guard.next_tick(),
                  connected_ ? vigil_.next_look() : pace_.ends_at());
}

std::vector<Answer> ZmqControlLink::process(TimePoint now) {
  if (!connection_ && now >= next_tick()) dial(now);
  std::vector<Answer> answers = take_answers();
  if (!answers.empty()) pace_.worked();
  take_monitor_events(now);
  if (connection_ && !connected_ && now >= pace_.ends_at()) hang_up(now, "no answer");
  if (connected_ && vigil_.silent(now)) hang_up(now, "it does not answer");
  if (connection_) {
    const auto cut = connection_->guard.look(now);
    if (!cut.empty()) hang_up(now, cut.front());
  }
  return answers;
}

void ZmqControlLink::send(const Request& request) {
  send_parts(connection_->dealer, nullptr, encode(request), {});
}

void ZmqControlLink::dial(TimePoint now) {
  const auto address = host_.address(now);
  if (!address) {
    if (host_.unknown()) trouble_ = "its name has no address";
    look_up_again_ = now + (host_.unknown() ? kLookupPause : kLookupPoll);
    return;
  }
  pace_.begin(now);
  const auto failed = [&](const std::string& why) {
    trouble_ = "no socket: " + why;
    pace_.ended(now);
  };
  if (os::descriptors_left() <= os::kReservedDescriptors) {
    return failed("too few descriptors are left");
  }
  try {
    connection_ = std::make_unique<Connection>(context_, options_, *address);
  } catch (const zmq::error_t& error) {
    failed(error.what());  // this attempt, and nothing else
  }
}

void ZmqControlLink::hang_up(TimePoint now, std::string why) {
  if (!connected_) host_.doubt(now);
  connection_.reset();
  connected_ = false;
  refuses_our_key_ = false;
  trouble_ = std::move(why);
  vigil_.end();
  pace_.ended(now);
}

std::vector<Answer> ZmqControlLink::take_answers() {
  std::vector<Answer> answers;
  for (int i = 0; connection_ && i < kAnswersPerRound; ++i) {
    const auto message = receive_parts(connection_->dealer, 1);
    if (!message) {
      connection_->guard.nothing_waits();
      break;
    }
    connection_->guard.took(connection_->socket,
                            options_.control.key ? message->curve_bytes : message->plain_bytes);
    if (message->too_many) continue;
    const zmq::message_t& part = message->parts[0];
    auto answer = decode_answer({static_cast<const std::byte*>(part.data()), part.size()});
    if (auto* good = std::get_if<Answer>(&answer)) answers.push_back(std::move(*good));
  }
  return answers;
}

void ZmqControlLink::take_monitor_events(TimePoint now) {
  while (connection_) {
    const auto event = connection_->monitor.next();
    if (!event) return;
    switch (event->kind) {
      case SocketMonitor::Kind::accepted:  // nobody can: it listens nowhere
        break;
      case SocketMonitor::Kind::reached:
        pace_.answered(now);
        vigil_.begin(event->socket, now);
        connection_->socket = event->socket;
        connection_->guard.opened(event->socket, now);
        break;
      case SocketMonitor::Kind::connected:
        connected_ = true;
        refuses_our_key_ = false;
        trouble_.clear();
        connection_->guard.introduced(connection_->socket);  // by its key
        break;
      case SocketMonitor::Kind::refused:
        pace_.wait_longest();
        hang_up(now, refusal(options_));
        refuses_our_key_ = true;
        break;
      case SocketMonitor::Kind::garbled:
        hang_up(now,
                fmt::format("the handshake failed: is {} its key?", to_hex(*options_.control.key)));
        break;
      case SocketMonitor::Kind::closed:
        hang_up(now, connected_ ? "the connection broke" : "connection refused");
        break;
    }
  }
}

}  // namespace ptrain::net
