#include "tools/relay/operator_client.h"

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/net/relay_codec.h"
#include "libcommon/net/zmq_parts.h"

namespace ptrain::relay {

OperatorClient::OperatorClient(const net::Endpoint& relay, const net::KeyPair& key)
    : relay_(zmq_address(relay)), socket_(context_, zmq::socket_type::dealer) {
  const net::PublicKey& server = relay.key ? *relay.key : key.public_key();
  socket_.set(zmq::sockopt::linger, 0);
  if (relay.host.starts_with('[')) socket_.set(zmq::sockopt::ipv6, true);
  socket_.set(zmq::sockopt::maxmsgsize, static_cast<std::int64_t>(net::kMaxAnswerBytes) + 256);
  socket_.set(zmq::sockopt::rcvtimeo, net::milliseconds(kSurveyTimeout));
  socket_.set(zmq::sockopt::curve_serverkey, zmq::const_buffer(server.data(), server.size()));
  socket_.set(zmq::sockopt::curve_publickey, zmq::const_buffer(key.public_key().data(), 32));
  socket_.set(zmq::sockopt::curve_secretkey, zmq::const_buffer(key.secret_key().data(), 32));
  socket_.connect(relay_);
}

std::vector<std::string> OperatorClient::survey(net::request::Subject subject) {
  std::vector<std::string> lines;
  std::uint64_t after = 0;
  for (int i = 0; i < kMaxSurveyPages; ++i) {
    net::answer::Surveyed next = page(subject, after);
    for (std::string& line : next.lines) lines.push_back(std::move(line));
    if (next.next == 0) break;
    after = next.next;
  }
  return lines;
}

net::answer::Surveyed OperatorClient::page(net::request::Subject subject, std::uint64_t after) {
  const std::uint64_t id = ++last_id_;
  const auto request = net::encode(
      net::Request{.id = id, .body = net::request::Survey{.subject = subject, .after = after}});
  socket_.send(zmq::const_buffer(request.data(), request.size()), zmq::send_flags::none);
  zmq::message_t message;
  while (socket_.recv(message)) {
    const auto decoded =
        net::decode_answer({static_cast<const std::byte*>(message.data()), message.size()});
    const auto* answer = std::get_if<net::Answer>(&decoded);
    if (answer == nullptr || answer->id != id) continue;
    if (const auto* page = std::get_if<net::answer::Surveyed>(&answer->body)) return *page;
    if (const auto* refused = std::get_if<net::answer::Refused>(&answer->body)) {
      throw Error(ErrorKind::permission,
                  fmt::format("the relay at {} refuses: {}", relay_, refused->text),
                  "--state must be the folder of that relay, with its key");
    }
  }
  throw Error(ErrorKind::unavailable,
              fmt::format("the relay at {} did not answer within {} s", relay_,
                          kSurveyTimeout / std::chrono::seconds(1)),
              "is ptrain-relay serve running, with this --state?");
}

}  // namespace ptrain::relay
