// The data port with libzmq's own SOCKS client: two sockets that both connect outwards.

#include <zmq.hpp>

#include "libcommon/net/keys.h"
#include "tests/unit/relay/carrier/carrier_client.h"

namespace ptrain::relay {
namespace {

class CarrierZmqTest : public CarrierTest {
 protected:
  // A DEALER that connects through the carrier with that seat's token.
  zmq::socket_t dealer(const Seat& seat) {
    zmq::socket_t socket(context_, zmq::socket_type::dealer);
    socket.set(zmq::sockopt::linger, 0);
    socket.set(zmq::sockopt::reconnect_ivl, -1);  // the token is spent
    socket.set(zmq::sockopt::rcvtimeo,
               static_cast<int>(std::chrono::milliseconds(kPatience).count()));
    socket.set(zmq::sockopt::socks_proxy, fmt::format("127.0.0.1:{}", carrier_->port()));
    if (seat.side == Side::low) {
      socket.set(zmq::sockopt::curve_server, true);
    } else {
      socket.set(zmq::sockopt::curve_serverkey, zmq::const_buffer(low_.public_key().data(), 32));
    }
    const net::KeyPair& own = seat.side == Side::low ? low_ : high_;
    socket.set(zmq::sockopt::curve_publickey, zmq::const_buffer(own.public_key().data(), 32));
    socket.set(zmq::sockopt::curve_secretkey, zmq::const_buffer(own.secret_key().data(), 32));
    socket.connect(fmt::format("tcp://{}.invalid:1", token(seat)));
    return socket;
  }
  static std::string received(zmq::socket_t& socket) {
    zmq::message_t message;
    EXPECT_TRUE(socket.recv(message));
    return message.to_string();
  }

  const net::KeyPair low_ = net::KeyPair::generate();
  const net::KeyPair high_ = net::KeyPair::generate();
  zmq::context_t context_;
};

TEST_F(CarrierZmqTest, TwoSocketsThatBothConnectExchangeMessagesWithCurveEndToEnd) {
  start();
  zmq::socket_t low = dealer(seat_of(1, 2));
  zmq::socket_t high = dealer(seat_of(2, 1));
  const std::string large = random_bytes(1 << 20, 1);
  low.send(zmq::buffer(large));
  high.send(zmq::buffer(std::string_view("an answer")));
  EXPECT_TRUE(received(high) == large);
  EXPECT_EQ(received(low), "an answer");
  EXPECT_EQ(carrier_->totals().streams, 1u);
}

}  // namespace
}  // namespace ptrain::relay
