#include "tools/relay/inquiry.h"

#include <algorithm>
#include <array>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "libcommon/net/host_lookup.h"
#include "libcommon/net/relay_codec.h"
#include "libcommon/net/relay_membership.h"
#include "libcommon/net/zmq/zmq_parts.h"

namespace ptrain::relay {
namespace {

constexpr Duration kLongestTurn = std::chrono::milliseconds(100);

}  // namespace

Inquiry::Inquiry(const net::Endpoint& relay, const net::KeyPair& key)
    : relay_(relay),
      name_(zmq_address(relay)),
      own_key_(key.public_key()),
      socket_(context_, zmq::socket_type::dealer),
      monitor_(context_, socket_) {
  socket_.set(zmq::sockopt::linger, 0);
  socket_.set(zmq::sockopt::maxmsgsize, static_cast<std::int64_t>(net::kMaxAnswerBytes) + 256);
  socket_.set(zmq::sockopt::rcvtimeo, net::milliseconds(kInquiryTimeout));
  socket_.set(zmq::sockopt::curve_serverkey, zmq::const_buffer(relay.key->data(), 32));
  socket_.set(zmq::sockopt::curve_publickey, zmq::const_buffer(own_key_.data(), 32));
  socket_.set(zmq::sockopt::curve_secretkey, zmq::const_buffer(key.secret_key().data(), 32));
}

// The name is looked up here: libzmq says nothing of one that has no address.
void Inquiry::connect() {
  net::HostLookup lookup(relay_.host);
  const TimePoint deadline = clock_.now() + kInquiryTimeout;
  net::Endpoint numeric = relay_;
  while (true) {
    if (auto address = lookup.address(clock_.now())) {
      numeric.host = *address;
      break;
    }
    if (lookup.unknown() || clock_.now() >= deadline) throw absence("its name has no address");
    std::this_thread::sleep_for(net::kLookupPoll);
  }
  if (numeric.host.starts_with('[')) socket_.set(zmq::sockopt::ipv6, true);
  socket_.connect(zmq_address(numeric));
}

void Inquiry::await_connection() {
  using Kind = net::SocketMonitor::Kind;
  connect();
  const TimePoint begun = clock_.now();
  Duration left = kConnectTimeout;
  bool reached = false;
  while (true) {
    while (const auto event = monitor_.next()) {
      if (event->kind == Kind::connected) {
        connected_ = true;
        return;
      }
      if (event->kind == Kind::refused) throw refusal();
      if (event->kind == Kind::garbled) throw absence("what is there has not its key");
      if (event->kind == Kind::closed) {
        throw absence(reached ? "what is there ended the connection" : "connection refused");
      }
      if (event->kind == Kind::reached) {
        reached = true;
        left = std::max(kConnectTimeout, kHandshakeRoundTrips * (clock_.now() - begun));
      }
    }
    if (left <= Duration::zero()) {
      throw absence(reached ? "what is there does not answer as one" : "nobody answers");
    }
    std::array<zmq::pollitem_t, 1> items{{{monitor_.events().handle(), 0, ZMQ_POLLIN, 0}}};
    const Duration turn = std::min(left, kLongestTurn);
    const TimePoint before = clock_.now();
    net::uninterrupted([&] {
      return zmq::poll(items.data(), items.size(),
                       std::chrono::ceil<std::chrono::milliseconds>(turn));
    });
    // A host that stood still meanwhile has heard nobody.
    left -= std::min(clock_.now() - before, turn);
  }
}

Error Inquiry::absence(const std::string& why) const {
  return Error(ErrorKind::unavailable, fmt::format("no relay with key {} is at {}: {}",
                                                   net::to_hex(*relay_.key), name_, why));
}

Error Inquiry::refusal() const {
  return Error(ErrorKind::permission,
               fmt::format("the relay at {} does not serve our key {}; its own is {}", name_,
                           net::to_hex(own_key_), net::to_hex(*relay_.key)),
               net::how_to_be_served(own_key_));
}

net::Answer Inquiry::ask(decltype(net::Request::body) body) {
  if (!connected_) await_connection();
  const std::uint64_t id = ++last_id_;
  const auto request = net::encode(net::Request{.id = id, .body = std::move(body)});
  socket_.send(zmq::const_buffer(request.data(), request.size()), zmq::send_flags::none);
  zmq::message_t message;
  while (socket_.recv(message)) {
    auto decoded =
        net::decode_answer({static_cast<const std::byte*>(message.data()), message.size()});
    auto* answer = std::get_if<net::Answer>(&decoded);
    if (answer == nullptr) continue;
    const auto* refused = std::get_if<net::answer::Refused>(&answer->body);
    if (refused != nullptr && refused->reason == net::Refusal::version) {
      throw Error(ErrorKind::usage, fmt::format("the relay at {} speaks {}", name_, refused->text),
                  "use the same release of ptrain here and there");
    }
    if (answer->id == id) return std::move(*answer);
  }
  throw Error(ErrorKind::unavailable,
              fmt::format("the relay at {} did not answer within {} s", name_,
                          kInquiryTimeout / std::chrono::seconds(1)));
}

}  // namespace ptrain::relay
