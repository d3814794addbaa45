// A server and clients that it did not know before, over real sockets.

#include "libcommon/net/server.h"

#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zmq.hpp>

#include "libcommon/net/client.h"
#include "libcommon/wire/envelope.h"
#include "tests/unit/net/mesh_fixture.h"
#include "tests/unit/net/tcp_proxy.h"

namespace ptrain::net {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::HasSubstr;
using wire::MessageKind;

Introduction introduction() {
  return {.run = "checkpoints", .job_hash = "", .stage_count = 2, .data_fingerprint = ""};
}

ServerOptions server_options(const std::string& listen = "tcp://127.0.0.1:0") {
  ServerOptions options;
  options.listen = parse_endpoint(listen);
  options.guests.introduction = introduction();
  options.silence_timeout = 20s;
  return options;
}

ClientOptions client_options() {
  ClientOptions options;
  options.introduction = introduction();
  return options;
}

// The next event of that kind, which must be the next event.
template <class Event, class Endpoint>
Event next(Endpoint& endpoint) {
  const auto deadline = std::chrono::steady_clock::now() + 20s;
  while (std::chrono::steady_clock::now() < deadline) {
    auto event = endpoint.receive(100ms);
    if (!event) continue;
    if (auto* wanted = std::get_if<Event>(&*event)) return std::move(*wanted);
    ADD_FAILURE() << "another event: " << event->index();
    break;
  }
  throw std::runtime_error("the event did not come");
}

wire::Message request(std::uint64_t number, std::size_t bytes = 100) {
  return test_message(1, number, bytes, MessageKind::transfer_request);
}
wire::Message reply(std::uint64_t number, std::size_t bytes) {
  return test_message(0, number, bytes, MessageKind::transfer_bytes);
}

struct ServerTest : testing::Test {
  SteadyClock clock;
  RecordingLog log;
};

TEST_F(ServerTest, AClientIsIntroducedAskedAnsweredAndLeaves) {
  Server server(server_options(), log, clock);
  auto client = std::make_unique<Client>(client_options(), log, clock);
  const PeerHandle there = client->dial(server.listening());
  EXPECT_EQ(next<PeerJoined>(*client).peer, there);
  EXPECT_TRUE(client->send(there, request(1)));
  const PeerHandle guest = next<PeerJoined>(server).peer;
  const auto asked = next<PeerMessage>(server);
  EXPECT_EQ(asked.from, guest);
  EXPECT_TRUE(holds(asked.message, request(1)));
  EXPECT_TRUE(server.send(guest, reply(1, 5'000'000)));
  EXPECT_TRUE(holds(next<PeerMessage>(*client).message, reply(1, 5'000'000)));
  client.reset();
  const PeerLost lost = next<PeerLost>(server);
  EXPECT_EQ(lost.peer, guest);
  EXPECT_FALSE(lost.failure) << lost.failure->what();
  EXPECT_FALSE(server.send(guest, reply(2, 10)));
  EXPECT_EQ(server.queued(guest), ByteCount(0));
}

TEST_F(ServerTest, KeysDecideWhoComesIn) {
  const KeyPair ours = KeyPair::generate();
  const KeyPair friends = KeyPair::generate();
  auto options = server_options();
  options.key = ours;
  options.guests.admitted = std::set<PublicKey>{friends.public_key()};
  Server server(options, log, clock);
  auto admitted = client_options();
  admitted.key = friends;
  Client welcome(admitted, log, clock);
  welcome.dial(server.listening());
  next<PeerJoined>(welcome);
  auto unknown = client_options();
  unknown.key = KeyPair::generate();
  Client stranger(unknown, log, clock);
  stranger.dial(server.listening());
  const PeerLost lost = next<PeerLost>(stranger);
  ASSERT_TRUE(lost.failure);
  EXPECT_EQ(lost.failure->kind(), ErrorKind::permission);
  EXPECT_THAT(lost.failure->what(), HasSubstr("does not admit our key"));
}

TEST_F(ServerTest, OneClientTooManyIsToldWhereElseToGo) {
  auto options = server_options();
  options.guests.max_guests = 1;
  options.guests.busy_answer = "; ask tcp://10.0.0.7:7000";
  Server server(options, log, clock);
  Client first(client_options(), log, clock);
  first.dial(server.listening());
  next<PeerJoined>(first);
  Client second(client_options(), log, clock);
  second.dial(server.listening());
  const PeerLost lost = next<PeerLost>(second);
  ASSERT_TRUE(lost.failure);
  EXPECT_EQ(lost.failure->kind(), ErrorKind::try_again);
  EXPECT_THAT(lost.failure->what(),
              AllOf(HasSubstr("refused us"), HasSubstr("ask tcp://10.0.0.7:7000")));
}

TEST_F(ServerTest, ASessionOutlivesItsConnections) {
  Server server(server_options(), log, clock);
  TcpProxy proxy(server.listening().port, 3'000'000, 7);
  Client client(client_options(), log, clock);
  const PeerHandle there = client.dial(parse_endpoint(proxy.endpoint()));
  next<PeerJoined>(client);
  client.send(there, request(0));
  const PeerHandle guest = next<PeerJoined>(server).peer;
  next<PeerMessage>(server);
  for (std::uint64_t i = 0; i < 20; ++i) server.send(guest, reply(i, 2'000'000));
  for (std::uint64_t i = 0; i < 20; ++i) {
    ASSERT_TRUE(holds(next<PeerMessage>(client).message, reply(i, 2'000'000))) << i;
  }
  EXPECT_GT(proxy.cuts(), 2);
}

TEST_F(ServerTest, ADismissedClientHearsWhyAndMayComeBack) {
  Server server(server_options(), log, clock);
  Client client(client_options(), log, clock);
  client.dial(server.listening());
  next<PeerJoined>(client);
  const PeerHandle guest = next<PeerJoined>(server).peer;
  server.dismiss(guest, "idle for 10 minutes");
  EXPECT_EQ(next<PeerLost>(server).peer, guest);
  const PeerLost lost = next<PeerLost>(client);
  ASSERT_TRUE(lost.failure);
  EXPECT_THAT(lost.failure->what(), HasSubstr("idle for 10 minutes"));
  client.dial(server.listening());
  next<PeerJoined>(client);
  EXPECT_NE(next<PeerJoined>(server).peer, guest);
}

TEST_F(ServerTest, AServerThatEndsWellSaysSo) {
  auto server = std::make_unique<Server>(server_options(), log, clock);
  Client client(client_options(), log, clock);
  client.dial(server->listening());
  next<PeerJoined>(client);
  EXPECT_TRUE(server->close(10s));
  EXPECT_FALSE(next<PeerLost>(client).failure);
}

TEST_F(ServerTest, AClientOfNoConnectionsOrTooManyIsRefusedAtOnce) {
  for (const std::uint8_t connections : {std::uint8_t{0}, std::uint8_t{wire::kMaxStrands + 1}}) {
    auto options = client_options();
    options.connections = connections;
    EXPECT_THROW(Client(options, log, clock), Error);
  }
  for (const std::uint8_t connections : {std::uint8_t{1}, std::uint8_t{wire::kMaxStrands}}) {
    auto options = client_options();
    options.connections = connections;
    EXPECT_NO_THROW(Client(options, log, clock));
  }
}

TEST_F(ServerTest, AServerThatDoesNotAnswerIsNamedWithTheReason) {
  auto options = client_options();
  options.connect_timeout = 300ms;
  Client client(options, log, clock);
  client.dial(parse_endpoint("tcp://127.0.0.1:1"));
  const PeerLost lost = next<PeerLost>(client);
  ASSERT_TRUE(lost.failure);
  EXPECT_EQ(lost.failure->kind(), ErrorKind::unavailable);
  EXPECT_THAT(lost.failure->what(), AllOf(HasSubstr("127.0.0.1:1"), HasSubstr("refused")));
}

TEST_F(ServerTest, WhatASlowReaderIsSentStaysQueuedAndRoomIsReported) {
  Server server(server_options(), log, clock);
  auto options = client_options();
  options.credit_window = ByteCount(2 * (1u << 20) + 4096);
  Client client(options, log, clock);
  client.dial(server.listening());
  next<PeerJoined>(client);
  const PeerHandle guest = next<PeerJoined>(server).peer;
  for (std::uint64_t i = 0; i < 6; ++i) server.send(guest, reply(i, 2'000'000));
  EXPECT_FALSE(server.receive(300ms));  // nobody consumes: the queue stays
  EXPECT_GT(server.queued(guest), ByteCount(8'000'000));
  const auto begin = clock.now();
  std::thread reader([&] {
    for (int i = 0; i < 6; ++i) next<PeerMessage>(client);
  });
  EXPECT_FALSE(server.receive(60s));  // returns since the queue has fallen below low_water
  EXPECT_LT(clock.now() - begin, 30s);
  EXPECT_LE(server.queued(guest), ByteCount(4u << 20));
  reader.join();
}

TEST_F(ServerTest, EndpointsThatLeaveTheMachineNeedAKey) {
  EXPECT_THAT(error_text(ErrorKind::usage,
                         [&] { Server server(server_options("tcp://0.0.0.0:0"), log, clock); }),
              HasSubstr("has no key"));
  Client client(client_options(), log, clock);
  EXPECT_THAT(
      error_text(ErrorKind::usage, [&] { client.dial(parse_endpoint("tcp://192.0.2.1:7000")); }),
      HasSubstr("not on this machine"));
}

TEST_F(ServerTest, AnswersComeOverAsManyConnectionsAsTheClientWants) {
  Server server(server_options(), log, clock);
  auto options = client_options();
  options.connections = 3;
  Client client(options, log, clock);
  client.dial(server.listening());
  const PeerHandle there = next<PeerJoined>(client).peer;
  const PeerHandle here = next<PeerJoined>(server).peer;
  for (std::uint64_t i = 0; i < 8; ++i) {
    ASSERT_TRUE(server.send(here, reply(i, 3u << 20)));
    EXPECT_TRUE(holds(next<PeerMessage>(client).message, reply(i, 3u << 20)));
  }
  EXPECT_THAT(client.traffic(there).path, HasSubstr("(3 connections)"));
}

TEST_F(ServerTest, HalfABundleKeepsNobodysPlace) {
  auto options = server_options();
  options.guests.max_guests = 1;
  Server server(options, log, clock);
  zmq::context_t context;
  zmq::socket_t half(context, zmq::socket_type::dealer);
  half.set(zmq::sockopt::linger, 0);
  half.connect(to_string(server.listening()));
  const auto hello =
      wire::encode_header(wire::Hello{.version = wire::kProtocolVersion,
                                      .run = introduction().run,
                                      .job_hash = "",
                                      .stage_count = 2,
                                      .data_fingerprint = "",
                                      .stage = StageIndex(1),
                                      .incarnation = 5,
                                      .channel = wire::Channel::bulk,
                                      .received = {},
                                      .strand = {.bundle = 7, .number = 0, .count = 2}},
                          1);
  half.send(zmq::const_buffer(hello.data(), hello.size()), zmq::send_flags::none);
  std::this_thread::sleep_for(200ms);
  // It is turned away while the place is taken, and told to try again.
  const auto deadline = std::chrono::steady_clock::now() + 30s;
  bool joined = false;
  while (!joined && std::chrono::steady_clock::now() < deadline) {
    Client client(client_options(), log, clock);
    client.dial(server.listening());
    const auto event = client.receive(2s);
    joined = event && std::holds_alternative<PeerJoined>(*event);
  }
  EXPECT_TRUE(joined);
}

}  // namespace
}  // namespace ptrain::net
