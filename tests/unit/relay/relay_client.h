// A client that speaks to a relay's control port over a real socket, as a test wants.

#pragma once

#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <zmq.hpp>

#include "libcommon/net/keys.h"
#include "libcommon/net/relay_codec.h"
#include "tests/unit/relay/run_of_members.h"

namespace ptrain::relay {

// Generous: the machine may be busy with other things.
inline constexpr std::chrono::milliseconds kAnswerPatience{60000};

struct ClientOptions {
  net::KeyPair key = net::KeyPair::generate();
  std::string routing_id{};  // declared, which no client of ours does
  std::string source{};      // the address to come from: one of 127.0.0.0/8, or "[::1]"
  // Of many clients together; none: its own.
  std::shared_ptr<zmq::context_t> context{};
};

class RelayClient {
 public:
  explicit RelayClient(const net::Endpoint& relay, ClientOptions options = {})
      : own_context_(options.context ? options.context : std::make_shared<zmq::context_t>()),
        context(*own_context_),
        key_(std::move(options.key)) {
    socket.set(zmq::sockopt::linger, 0);
    socket.set(zmq::sockopt::sndhwm, 0);
    if (!options.routing_id.empty()) socket.set(zmq::sockopt::routing_id, options.routing_id);
    socket.set(zmq::sockopt::curve_serverkey, zmq::const_buffer(relay.key->data(), 32));
    socket.set(zmq::sockopt::curve_publickey, zmq::const_buffer(key_.public_key().data(), 32));
    socket.set(zmq::sockopt::curve_secretkey, zmq::const_buffer(key_.secret_key().data(), 32));
    socket.set(zmq::sockopt::ipv6, relay.host.starts_with('['));
    const std::string from = options.source.empty() ? "" : options.source + ":0;";
    socket.connect("tcp://" + from + relay.host + ":" + std::to_string(relay.port));
  }

  const net::PublicKey& key() const { return key_.public_key(); }
  const net::KeyPair& pair() const { return key_; }
  net::Place place(const std::string& role) const { return {.peer_key = key(), .role = role}; }

  // The answer to it; whatever else comes first is kept for push().
  net::Answer ask(decltype(net::Request::body) body) {
    const std::uint64_t id = send(std::move(body));
    while (auto answer = receive(kAnswerPatience)) {
      if (answer->id == id) return *answer;
      pushes_.push_back(std::move(*answer));
    }
    throw std::runtime_error("the relay does not answer");
  }
  template <class Body>
  Body ask_for(decltype(net::Request::body) body) {
    const net::Answer answer = ask(std::move(body));
    if (const auto* refused = std::get_if<net::answer::Refused>(&answer.body)) {
      if constexpr (!std::is_same_v<Body, net::answer::Refused>) {
        throw std::runtime_error("refused: " + refused->text);
      }
    }
    return std::get<Body>(answer.body);
  }
  net::Refusal refusal(decltype(net::Request::body) body) {
    return ask_for<net::answer::Refused>(std::move(body)).reason;
  }

  // What came without being asked for.
  std::optional<net::Answer> push(std::chrono::milliseconds timeout = kAnswerPatience) {
    if (!pushes_.empty()) {
      net::Answer first = std::move(pushes_.front());
      pushes_.pop_front();
      return first;
    }
    return receive(timeout);
  }
  template <class Body>
  Body push_of() {
    const auto answer = push();
    if (!answer) throw std::runtime_error("nothing came");
    return std::get<Body>(answer->body);
  }

  std::uint64_t send(decltype(net::Request::body) body) {
    const net::Request request{.id = ++last_id_, .body = std::move(body)};
    send_parts({net::encode(request)});
    return request.id;
  }
  void send_parts(const std::vector<std::vector<std::byte>>& parts) {
    for (std::size_t i = 0; i < parts.size(); ++i) {
      socket.send(zmq::const_buffer(parts[i].data(), parts[i].size()),
                  i + 1 < parts.size() ? zmq::send_flags::sndmore : zmq::send_flags::none);
    }
  }
  std::optional<net::Answer> receive(std::chrono::milliseconds timeout) {
    socket.set(zmq::sockopt::rcvtimeo, static_cast<int>(timeout.count()));
    zmq::message_t message;
    if (!socket.recv(message)) return std::nullopt;
    return std::get<net::Answer>(
        net::decode_answer({static_cast<const std::byte*>(message.data()), message.size()}));
  }

  // Registered as `role` of `run`.
  net::answer::Granted join(const TestRun& run, const std::string& role,
                            std::uint64_t sequence = 1) {
    return ask_for<net::answer::Granted>(net::request::Register{run.record(key(), role, sequence)});
  }

  // For what a client of ours would not do.
 private:
  std::shared_ptr<zmq::context_t> own_context_;

 public:
  zmq::context_t& context;
  zmq::socket_t socket{context, zmq::socket_type::dealer};

 private:
  net::KeyPair key_;
  std::uint64_t last_id_ = 0;
  std::deque<net::Answer> pushes_;
};

}  // namespace ptrain::relay
