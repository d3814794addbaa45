#include "tools/relay/carrier/echo.h"

#include <chrono>
#include <string>

#include <gtest/gtest.h>
#include <netinet/in.h>

#include "tests/unit/relay/carrier/carrier_client.h"

namespace ptrain::relay {
namespace {

std::string request_with(const std::string& nonce, EchoAnswer how = EchoAnswer::straight) {
  std::string request = std::string(kEchoRequestMagic) + nonce + static_cast<char>(how);
  request.resize(kEchoRequestBytes, '\0');
  return request;
}

const std::string kNonce = "8 bytes!";

// What the reply says of whoever asked from this socket with kNonce.
std::string reply_for(int socket) {
  sockaddr_in own{};
  socklen_t size = sizeof own;
  ::getsockname(socket, reinterpret_cast<sockaddr*>(&own), &size);
  std::string reply = std::string(kEchoReplyMagic) + kNonce + std::string("\4\0", 2);
  reply.append(reinterpret_cast<const char*>(&own.sin_port), 2);
  reply.append(reinterpret_cast<const char*>(&own.sin_addr), 4);
  reply.resize(kEchoReplyBytes, '\0');
  return reply;
}

class Asker {
 public:
  Asker(std::uint16_t port, const char* from)
      : socket_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    ::inet_pton(AF_INET, from, &address.sin_addr);
    ::bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address);
    take_from(port);
  }
  int fd() const { return socket_.get(); }
  // Hears that port alone from now on.
  void take_from(std::uint16_t port) {
    const sockaddr_in address = loopback(port);
    ::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  }
  void ask(const std::string& request, std::uint16_t port) {
    const sockaddr_in address = loopback(port);
    EXPECT_EQ(::sendto(socket_.get(), request.data(), request.size(), 0,
                       reinterpret_cast<const sockaddr*>(&address), sizeof address),
              static_cast<ssize_t>(request.size()));
  }
  void ask(const std::string& request) {
    EXPECT_EQ(::send(socket_.get(), request.data(), request.size(), 0),
              static_cast<ssize_t>(request.size()));
  }
  // The next reply, or nothing when none is here by now.
  std::string reply(std::chrono::milliseconds wait = kPatience) {
    pollfd polled{socket_.get(), POLLIN, 0};
    if (::poll(&polled, 1, static_cast<int>(wait.count())) != 1) return "";
    std::string bytes(2 * kEchoRequestBytes, '\0');
    bytes.resize(static_cast<std::size_t>(::recv(socket_.get(), bytes.data(), bytes.size(), 0)));
    return bytes;
  }

 private:
  static sockaddr_in loopback(std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    return address;
  }

  os::FileDescriptor socket_;
};

class EchoTest : public ::testing::Test {
 protected:
  void start(EchoOptions options = {}) {
    options.host = "127.0.0.1";
    echo_.emplace(std::move(options), clock_);
  }
  // It counts after it has sent.
  void expect_answered(std::uint64_t number) {
    EXPECT_TRUE(comes_true([&] { return echo_->totals().answered >= number; }));
    EXPECT_EQ(echo_->totals().answered, number);
  }
  // Two who ask over UDP and TCP from elsewhere are answered.
  void expect_others_answered() {
    Asker asker(echo_->ports()[1], "127.9.9.9");
    asker.ask(request_with(kNonce));
    EXPECT_EQ(asker.reply(), reply_for(asker.fd()));
    Client client(echo_->ports()[1], "127.9.9.9");
    client.send(request_with(kNonce));
    EXPECT_EQ(client.receive(kEchoReplyBytes), reply_for(client.fd()));
  }

  SteadyClock clock_;
  std::optional<Echo> echo_;
};

TEST_F(EchoTest, TellsOverUdpAndTcpOnTwoPortsWhereAQuestionCameFrom) {
  start();
  EXPECT_NE(echo_->ports()[0], echo_->ports()[1]);
  for (const std::uint16_t port : echo_->ports()) {
    Asker asker(port, "127.0.0.5");
    asker.ask(request_with(kNonce));
    EXPECT_EQ(asker.reply(), reply_for(asker.fd()));
    Client client(port, "127.0.0.6");
    client.send(request_with(kNonce));
    EXPECT_EQ(client.receive(kEchoReplyBytes), reply_for(client.fd()));
    EXPECT_TRUE(client.is_ended());
  }
  expect_answered(4);
}

TEST_F(EchoTest, AnswersADatagramFromItsOtherPortWhenThatIsAsked) {
  start();
  for (const std::size_t asked : {std::size_t{0}, std::size_t{1}}) {
    Asker asker(echo_->ports()[asked], "127.0.0.5");
    asker.take_from(echo_->ports()[1 - asked]);
    asker.ask(request_with(kNonce, EchoAnswer::from_other_port), echo_->ports()[asked]);
    EXPECT_EQ(asker.reply(), reply_for(asker.fd()));
    // Nothing else, and from there only what asks for it.
    asker.ask(request_with(kNonce), echo_->ports()[asked]);
    asker.ask(request_with(kNonce, EchoAnswer::from_other_port), echo_->ports()[asked]);
    EXPECT_EQ(asker.reply(), reply_for(asker.fd()));
    EXPECT_EQ(asker.reply(std::chrono::milliseconds(0)), "");
  }
  expect_answered(6);
}

// "\x1b\x58" for 7000.
std::string bytes_of_port(std::uint16_t port) {
  return {static_cast<char>(port >> 8), static_cast<char>(port & 0xff)};
}

// Of the socket that asks, what the reply says; to another one of that address, the reply.
TEST_F(EchoTest, AnswersToAnotherPortOfTheAddressThatAsksWhenThatIsAsked) {
  start();
  Asker asker(echo_->ports()[0], "127.0.0.5");
  Asker other(echo_->ports()[0], "127.0.0.5");
  sockaddr_in own{};
  socklen_t size = sizeof own;
  ::getsockname(other.fd(), reinterpret_cast<sockaddr*>(&own), &size);
  std::string request = request_with(kNonce, EchoAnswer::to_other_port);
  request.replace(kEchoRequestMagic.size() + kEchoNonceBytes + 1, 2,
                  bytes_of_port(ntohs(own.sin_port)));
  asker.ask(request);
  EXPECT_EQ(other.reply(), reply_for(asker.fd()));
  EXPECT_EQ(asker.reply(std::chrono::milliseconds(0)), "");
  expect_answered(1);
}

TEST_F(EchoTest, APortToAnswerToIsGivenExactlyWhereItIsWanted) {
  start();
  Asker asker(echo_->ports()[0], "127.0.0.5");
  asker.ask(request_with(kNonce, EchoAnswer::to_other_port));
  std::string request = request_with(kNonce);
  request.replace(kEchoRequestMagic.size() + kEchoNonceBytes + 1, 2, bytes_of_port(7000));
  asker.ask(request);
  ASSERT_TRUE(comes_true([&] { return echo_->totals().malformed == 2; }));
  EXPECT_EQ(echo_->totals().answered, 0u);
}

TEST_F(EchoTest, AConnectionIsNotAnsweredFromElsewhere) {
  start();
  Client client(echo_->ports()[0], "127.0.0.6");
  client.send(request_with(kNonce, EchoAnswer::from_other_port));
  EXPECT_TRUE(client.is_ended());
  EXPECT_EQ(echo_->totals().malformed, 1u);
  EXPECT_EQ(echo_->totals().answered, 0u);
}

TEST_F(EchoTest, WhatIsNoRequestIsNotAnsweredSoNothingIsAmplified) {
  start();
  const std::string request = request_with(kNonce);
  Asker asker(echo_->ports()[0], "127.6.6.6");
  for (const std::string& other :
       {std::string("x"), request.substr(0, kEchoRequestBytes - 1), request + '\0',
        request.substr(0, kEchoReplyBytes), std::string(kEchoRequestBytes, 'x'),
        request_with(kNonce, EchoAnswer{3}), request_with(kNonce + "\1\1"), std::string(1400, '\0'),
        reply_for(asker.fd()) + std::string(28, '\0')}) {
    asker.ask(other);
  }
  ASSERT_TRUE(comes_true([&] { return echo_->totals().malformed == 9; }));
  EXPECT_EQ(asker.reply(std::chrono::milliseconds(0)), "");
  asker.ask(request);
  EXPECT_LT(asker.reply().size(), request.size());
  expect_others_answered();
}

TEST_F(EchoTest, AFloodIsNotAnsweredAndDisturbsNobody) {
  start({.requests = {.burst = 3, .per_s = 0.001}});
  Asker flooder(echo_->ports()[0], "127.6.6.6");
  for (int i = 0; i < 100; ++i) flooder.ask(request_with(kNonce));
  ASSERT_TRUE(comes_true([&] { return echo_->totals().over_limits == 97; }));
  expect_answered(3);
  Client same_source(echo_->ports()[0], "127.6.6.6");
  EXPECT_TRUE(same_source.is_ended());
  expect_others_answered();
}

TEST_F(EchoTest, ConnectionsThatSayNothingGiveWayAndEnd) {
  start({.requests = {.burst = 1000}, .connections = 4});
  std::vector<Client> silent;
  for (int i = 0; i < 50; ++i) silent.emplace_back(echo_->ports()[0], "127.6.6.6");
  EXPECT_TRUE(silent.front().is_ended());
  expect_others_answered();
}

TEST_F(EchoTest, AConnectionThatIsSlowToAskIsEnded) {
  start({.connection_life = std::chrono::milliseconds(50)});
  Client slow(echo_->ports()[0], "127.6.6.6");
  slow.send(request_with(kNonce).substr(1));
  EXPECT_TRUE(slow.is_ended());
}

TEST(EchoFormat, AnIpv6AddressIsToldWhole) {
  sockaddr_storage from{};
  auto& v6 = reinterpret_cast<sockaddr_in6&>(from);
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(0x1234);
  ::inet_pton(AF_INET6, "2001:db8::7", &v6.sin6_addr);
  const EchoReply reply = echo_reply({}, from);
  EXPECT_EQ(reply[16], 6);
  EXPECT_EQ(reply[18], 0x12);
  EXPECT_EQ(reply[19], 0x34);
  EXPECT_EQ(reply[20], 0x20);
  EXPECT_EQ(reply[35], 7);
}

TEST(EchoFormat, AnIpv4AddressIsOneAlsoOverAnIpv6Socket) {
  sockaddr_storage from{};
  auto& v6 = reinterpret_cast<sockaddr_in6&>(from);
  v6.sin6_family = AF_INET6;
  ::inet_pton(AF_INET6, "::ffff:192.0.2.7", &v6.sin6_addr);
  const EchoReply reply = echo_reply({}, from);
  EXPECT_EQ(reply[16], 4);
  EXPECT_EQ(reply[20], 192);
  EXPECT_EQ(reply[23], 7);
}

}  // namespace
}  // namespace ptrain::relay
