#include "tools/relay/control/control_port.h"

#include <optional>
#include <utility>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/net/relay_codec.h"
#include "libcommon/net/zmq/zmq_parts.h"

namespace ptrain::relay {
namespace {

constexpr std::size_t kMessageParts = 2;  // routing id, request
// What CURVE adds to a part (flags, nonce, authenticator).
constexpr std::int64_t kCurveOverhead = 64;
constexpr int kBacklog = 1024;
constexpr int kKeepaliveIdleSeconds = 60;

// An IPv4 address that came in through an IPv6 socket is the same address.
std::string plain_address(std::string_view address) {
  constexpr std::string_view kMapped = "::ffff:";
  if (address.starts_with(kMapped)) address.remove_prefix(kMapped.size());
  return std::string(address);
}

std::string metadata(zmq::message_t& part, const char* name) {
  const char* value = zmq_msg_gets(part.handle(), name);
  return value == nullptr ? std::string() : std::string(value);
}

// libzmq's own begin with a zero. One that a client declared can be declared by the next one
// as well, who would then be sent what the first had coming.
bool is_generated(const ConnectionId& id) { return id.size() == 5 && id.front() == '\0'; }

}  // namespace

class ControlPort::Gate final : public net::Admission {
 public:
  Gate(const AccessRules& rules, const net::PublicKey& own) : rules_(rules), own_(own) {}
  bool admits(const net::PublicKey& key) const override {
    return key == own_ || rules_.allows_peer(key) || rules_.is_neighbour(key);
  }
  std::string remedy_for(const net::PublicKey& key) const override { return how_to_allow(key); }
  // There are no sessions here.
  net::Verdict judge(const net::Caller&) override { return net::Rejection{"no session here"}; }
  void left(net::PeerHandle) override {}

 private:
  const AccessRules& rules_;
  net::PublicKey own_;
};

ControlPort::ControlPort(ControlPortOptions options, const AccessRules& rules,
                         RequestHandler& handler, Log& log, const Clock& clock)
    : options_(std::move(options)),
      handler_(handler),
      clock_(clock),
      warnings_(log),
      gate_(std::make_unique<Gate>(rules, options_.key.public_key())),
      zap_(context_, *gate_),
      router_(context_, zmq::socket_type::router),
      watch_(context_, router_, options_.connections) {
  router_.set(zmq::sockopt::linger, 0);
  router_.set(zmq::sockopt::sndhwm, kSendQueueMessages);
  router_.set(zmq::sockopt::rcvhwm, kReceiveQueueMessages);
  router_.set(zmq::sockopt::maxmsgsize,
              static_cast<std::int64_t>(net::kMaxRequestBytes) + kCurveOverhead);
  router_.set(zmq::sockopt::handshake_ivl, net::milliseconds(kHandshakeLimit));
  router_.set(zmq::sockopt::backlog, kBacklog);
  router_.set(zmq::sockopt::rcvbuf, kReceiveBufferBytes);
  router_.set(zmq::sockopt::sndbuf, kSendBufferBytes);
  router_.set(zmq::sockopt::router_mandatory, true);
  router_.set(zmq::sockopt::tcp_keepalive, 1);
  router_.set(zmq::sockopt::tcp_keepalive_idle, kKeepaliveIdleSeconds);
  router_.set(zmq::sockopt::curve_server, true);
  router_.set(zmq::sockopt::curve_secretkey,
              zmq::const_buffer(options_.key.secret_key().data(), 32));
  router_.set(zmq::sockopt::zap_domain, "ptrain-relay");
  const net::Endpoint& listen = options_.listen;
  if (listen.host.starts_with('[')) router_.set(zmq::sockopt::ipv6, true);
  try {
    router_.bind(listen.port == 0 ? fmt::format("tcp://{}:*", listen.host) : zmq_address(listen));
  } catch (const zmq::error_t& error) {
    throw io_error("listen on " + zmq_address(listen), error.num(),
                   error.num() == EADDRINUSE
                       ? "another process has that port: end it, or listen on another"
                       : "the address must be one of this machine's, or 0.0.0.0 for all");
  }
}

ControlPort::~ControlPort() = default;

net::Endpoint ControlPort::listening() const {
  net::Endpoint endpoint = options_.listen;
  endpoint.port = net::parse_endpoint(router_.get(zmq::sockopt::last_endpoint)).port;
  endpoint.key = options_.key.public_key();
  return endpoint;
}

void ControlPort::add_poll_items(std::vector<net::PollItem>& items) {
  items.push_back(net::poll_item(router_));
  zap_.add_poll_items(items);
  items.push_back(net::poll_item(watch_.events()));
}

void ControlPort::process() {
  zap_.process([this](const std::string& why) { warnings_.warn("refused " + why, clock_.now()); });
  watch_.process(clock_.now());
  if (const auto ended = watch_.take_ended(); !ended.empty()) handler_.gone(ended);
  for (int i = 0; i < kRequestsPerRound; ++i) {
    auto message = net::receive_parts(router_, kMessageParts);
    if (!message) return;
    take(std::move(message->parts), message->too_many);
  }
}

void ControlPort::take(std::vector<zmq::message_t> parts, bool too_many) {
  const TimePoint now = clock_.now();
  zmq::message_t& body = parts.back();
  const auto key = net::parse_public_key(metadata(body, "User-Id"));
  if (!key) return;  // not without CURVE
  const int fd = zmq_msg_get(body.handle(), ZMQ_SRCFD);
  const Sender sender{.key = *key,
                      .connection = parts.front().to_string(),
                      .host = plain_address(metadata(body, "Peer-Address"))};
  const std::uint64_t ignored = handler_.totals().ignored;
  const std::vector<Outgoing> outgoing = answers(sender, parts, too_many, now);
  watch_.heard(fd, sender.connection, handler_.standing_of(sender.key), now);
  send(outgoing);
  // Who goes on after being told to wait, and after not being told any more, has to begin anew.
  if (handler_.totals().ignored != ignored) watch_.cut(fd);
}

std::vector<Outgoing> ControlPort::answers(const Sender& sender,
                                           const std::vector<zmq::message_t>& parts, bool too_many,
                                           TimePoint now) {
  if (too_many || parts.size() != kMessageParts) {
    return handler_.malformed(sender, "a request has one part", now);
  }
  if (!is_generated(sender.connection)) {
    return handler_.malformed(sender, "a client must not declare a routing id", now);
  }
  const zmq::message_t& body = parts.back();
  const auto decoded =
      net::decode_request({static_cast<const std::byte*>(body.data()), body.size()});
  if (const auto* malformed = std::get_if<wire::Malformed>(&decoded)) {
    if (const auto foreign =
            net::foreign_request({static_cast<const std::byte*>(body.data()), body.size()})) {
      refuse_version(sender, *foreign, now);
      return {};
    }
    warnings_.warn(fmt::format("refused {} with key {}: {}", sender.host, net::to_hex(sender.key),
                               malformed->why),
                   now);
    return handler_.malformed(sender, malformed->why, now);
  }
  return handler_.handle(sender, std::get<net::Request>(decoded), now);
}

// In its own version, so that it can read why.
void ControlPort::refuse_version(const Sender& sender, const net::ForeignRequest& request,
                                 TimePoint now) {
  const std::string why = fmt::format(
      "your relay protocol is version {}, this relay's {}: both need the same release of "
      "ptrain",
      request.version, net::kRelayProtocolVersion);
  warnings_.warn(
      fmt::format("refused {} with key {}: {}", sender.host, net::to_hex(sender.key), why), now);
  for (Outgoing& outgoing : handler_.malformed(sender, why, now)) {
    outgoing.answer.id = request.id;
    send(outgoing.to, net::encode_refusal(outgoing.answer, request.version));
  }
}

// What many watchers are told is the same, and encoded once.
void ControlPort::send(const std::vector<Outgoing>& answers) {
  const net::Answer* encoded = nullptr;
  std::vector<std::byte> bytes;
  for (const Outgoing& outgoing : answers) {
    if (encoded == nullptr || *encoded != outgoing.answer) {
      bytes = net::encode(outgoing.answer);
      encoded = &outgoing.answer;
    }
    send(outgoing.to, bytes);
  }
}

void ControlPort::send(const ConnectionId& to, std::span<const std::byte> bytes) {
  if (!watch_.may_send(to, bytes.size())) {
    ++dropped_;
    return;
  }
  const auto more = zmq::send_flags::dontwait | zmq::send_flags::sndmore;
  try {
    const auto sent = net::uninterrupted([&] { return router_.send(zmq::buffer(to), more); });
    // A full queue: the peer does not read. Its answer is lost, and nobody waits for it.
    if (!sent) {
      ++dropped_;
      return;
    }
    net::uninterrupted([&] {
      return router_.send(zmq::buffer(bytes.data(), bytes.size()), zmq::send_flags::dontwait);
    });
  } catch (const zmq::error_t& error) {
    if (error.num() != EHOSTUNREACH) throw;
    handler_.gone({to});
  }
}

void ControlPort::set_linger(Duration linger) {
  router_.set(zmq::sockopt::linger, net::milliseconds(linger));
}

}  // namespace ptrain::relay
