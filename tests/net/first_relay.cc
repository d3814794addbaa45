// A relay of the protocol's first version, as a member of a later one meets it: it refuses every
// request in its own version. Prints the word that stands in tickets, and serves until it is
// killed.

#include <cstdio>
#include <exception>

#include <fmt/format.h>
#include <zmq.hpp>

#include "libcommon/net/keys.h"
#include "libcommon/net/relay_codec.h"
#include "libcommon/net/relay_word.h"

namespace {

using namespace ptrain;

[[noreturn]] void serve() {
  const net::KeyPair key = net::KeyPair::generate();
  zmq::context_t context;
  zmq::socket_t router(context, zmq::socket_type::router);
  router.set(zmq::sockopt::curve_server, true);
  router.set(zmq::sockopt::curve_secretkey, zmq::const_buffer(key.secret_key().data(), 32));
  router.bind("tcp://127.0.0.1:*");
  net::Endpoint control = net::parse_endpoint(router.get(zmq::sockopt::last_endpoint));
  control.key = key.public_key();
  fmt::print("{}\n", net::to_word({.control = control, .data_port = 1}));
  std::fflush(stdout);
  while (true) {
    zmq::message_t from;
    zmq::message_t request;
    static_cast<void>(router.recv(from));
    static_cast<void>(router.recv(request));
    const auto refusal = net::encode_refusal(
        {.id = 0, .body = net::answer::Refused{.text = "version 2, ours is 1"}}, 1);
    router.send(from, zmq::send_flags::sndmore);
    router.send(zmq::buffer(refusal), zmq::send_flags::none);
  }
}

}  // namespace

int main() {
  try {
    serve();
  } catch (const std::exception& error) {
    fmt::print(stderr, "first_relay: {}\n", error.what());
    return 1;
  }
}
