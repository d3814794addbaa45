// A node that serves, and others that it did not know before, over real sockets.

#include "libcommon/net/node.h"

#include <algorithm>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libcommon/wire/envelope.h"
#include "tests/unit/net/messages.h"
#include "tests/unit/net/serving.h"
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

NodeOptions server_options(const std::string& listen = "tcp://127.0.0.1:0") {
  NodeOptions options = serving_options(introduction(), listen);
  options.silence_timeout = 20s;
  return options;
}

NodeOptions client_options() { return seeking_options(introduction()); }

// The next event of that kind, which must be the next event.
template <class Event, class Endpoint>
Event next(Endpoint& endpoint) {
  const auto deadline = std::chrono::steady_clock::now() + 60s;
  while (std::chrono::steady_clock::now() < deadline) {
    auto event = endpoint.next(100ms);
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

struct NodeTest : testing::Test {
  // A client that has a place: perhaps not the first one that asks, while a guest is still leaving.
  std::unique_ptr<SeekingNode> let_in(const ServingNode& server) {
    const TimePoint deadline = clock.now() + 20s;
    while (clock.now() < deadline) {
      auto client = std::make_unique<SeekingNode>(client_options(), log, clock);
      client->dial(server.listening());
      const auto event = client->next(20s);
      if (event && std::holds_alternative<Up>(*event)) return client;
    }
    throw std::runtime_error("the place does not become free");
  }

  SteadyClock clock;
  RecordingLog log;
};

TEST_F(NodeTest, AClientIsIntroducedAskedAnsweredAndLeaves) {
  ServingNode server(server_options(), {}, log, clock);
  auto client = std::make_unique<SeekingNode>(client_options(), log, clock);
  const WorkerId there = client->dial(server.listening());
  EXPECT_EQ(next<Up>(*client).peer, there);
  EXPECT_TRUE(client->send(there, request(1)));
  const WorkerId guest = next<Up>(server).peer;
  const auto asked = next<Delivery>(server);
  EXPECT_EQ(asked.from, guest);
  EXPECT_TRUE(holds(asked.message, request(1)));
  EXPECT_TRUE(server.send(guest, reply(1, 5'000'000)));
  EXPECT_TRUE(holds(next<Delivery>(*client).message, reply(1, 5'000'000)));
  client.reset();
  const Down lost = next<Down>(server);
  EXPECT_EQ(lost.peer, guest);
  EXPECT_FALSE(lost.error) << lost.error->what();
  EXPECT_FALSE(server.send(guest, reply(2, 10)));
  EXPECT_EQ(server.queued(guest), ByteCount(0));
}

TEST_F(NodeTest, KeysDecideWhoComesIn) {
  const KeyPair ours = KeyPair::generate();
  const KeyPair friends = KeyPair::generate();
  auto options = server_options();
  options.key = ours;
  ServingNode server(
      options,
      {.introduction = introduction(), .admitted = std::set<PublicKey>{friends.public_key()}}, log,
      clock);
  auto admitted = client_options();
  admitted.key = friends;
  SeekingNode welcome(admitted, log, clock);
  welcome.dial(server.listening());
  next<Up>(welcome);
  auto unknown = client_options();
  unknown.key = KeyPair::generate();
  SeekingNode stranger(unknown, log, clock);
  stranger.dial(server.listening());
  const Down lost = next<Down>(stranger);
  ASSERT_TRUE(lost.error);
  EXPECT_EQ(lost.error->kind(), ErrorKind::permission);
  EXPECT_THAT(lost.error->what(), HasSubstr("does not admit our key"));
}

TEST_F(NodeTest, OneClientTooManyIsToldWhereElseToGo) {
  auto options = server_options();
  ServingNode server(options,
                     {.introduction = introduction(),
                      .admitted = std::nullopt,
                      .max_guests = 1,
                      .busy_answer = "; ask tcp://10.0.0.7:7000"},
                     log, clock);
  SeekingNode first(client_options(), log, clock);
  first.dial(server.listening());
  next<Up>(first);
  SeekingNode second(client_options(), log, clock);
  second.dial(server.listening());
  const Down lost = next<Down>(second);
  ASSERT_TRUE(lost.error);
  EXPECT_EQ(lost.error->kind(), ErrorKind::try_again);
  EXPECT_THAT(lost.error->what(),
              AllOf(HasSubstr("refused us"), HasSubstr("ask tcp://10.0.0.7:7000")));
}

// It knows that its goodbye was heard, and ends; ours, which crosses it, nobody hears any more.
TEST_F(NodeTest, TheOnlyPlaceIsFreeAsSoonAsItsGuestIsGone) {
  ServingNode server(server_options(),
                     {.introduction = introduction(), .admitted = std::nullopt, .max_guests = 1},
                     log, clock);
  const TimePoint begin = clock.now();
  for (int i = 0; i < 30; ++i) {
    auto client = let_in(server);
    next<Up>(server);
    client.reset();
    EXPECT_FALSE(next<Down>(server).error);
  }
  EXPECT_LT(clock.now() - begin, 8s) << "fifteen, if each place were taken for half a second more";
}

TEST_F(NodeTest, ASessionOutlivesItsConnections) {
  ServingNode server(server_options(), {}, log, clock);
  TcpProxy proxy(server.listening().port, 3'000'000, 7);
  SeekingNode client(client_options(), log, clock);
  const WorkerId there = client.dial(parse_endpoint(proxy.endpoint()));
  next<Up>(client);
  client.send(there, request(0));
  const WorkerId guest = next<Up>(server).peer;
  next<Delivery>(server);
  for (std::uint64_t i = 0; i < 20; ++i) server.send(guest, reply(i, 2'000'000));
  for (std::uint64_t i = 0; i < 20; ++i) {
    ASSERT_TRUE(holds(next<Delivery>(client).message, reply(i, 2'000'000))) << i;
  }
  EXPECT_GT(proxy.cuts(), 2);
}

TEST_F(NodeTest, ADismissedClientHearsWhyAndMayComeBack) {
  ServingNode server(server_options(), {}, log, clock);
  SeekingNode client(client_options(), log, clock);
  client.dial(server.listening());
  next<Up>(client);
  const WorkerId guest = next<Up>(server).peer;
  server.dismiss(guest, "idle for 10 minutes");
  EXPECT_EQ(next<Down>(server).peer, guest);
  const Down lost = next<Down>(client);
  ASSERT_TRUE(lost.error);
  EXPECT_THAT(lost.error->what(), HasSubstr("idle for 10 minutes"));
  client.dial(server.listening());
  next<Up>(client);
  EXPECT_NE(next<Up>(server).peer, guest);
}

TEST_F(NodeTest, AServerThatEndsWellSaysSo) {
  auto server = std::make_unique<ServingNode>(server_options(), GuestRules{}, log, clock);
  SeekingNode client(client_options(), log, clock);
  client.dial(server->listening());
  next<Up>(client);
  EXPECT_TRUE(server->close(60s));
  EXPECT_FALSE(next<Down>(client).error);
}

TEST_F(NodeTest, AClientOfNoConnectionsOrTooManyIsRefusedAtOnce) {
  for (const std::uint8_t connections :
       {std::uint8_t{0}, std::uint8_t{wire::kMaxConnections + 1}}) {
    auto options = client_options();
    options.connections = connections;
    EXPECT_THROW(SeekingNode(options, log, clock), Error);
  }
  for (const std::uint8_t connections : {std::uint8_t{1}, std::uint8_t{wire::kMaxConnections}}) {
    auto options = client_options();
    options.connections = connections;
    EXPECT_NO_THROW(SeekingNode(options, log, clock));
  }
}

TEST_F(NodeTest, AServerThatDoesNotAnswerIsNamedWithTheReason) {
  auto options = client_options();
  options.appear_timeout = 3s;  // in which an attempt must fail
  SeekingNode client(options, log, clock);
  client.dial(parse_endpoint("tcp://127.0.0.1:1"));
  const Down lost = next<Down>(client);
  ASSERT_TRUE(lost.error);
  EXPECT_EQ(lost.error->kind(), ErrorKind::unavailable);
  EXPECT_THAT(lost.error->what(), AllOf(HasSubstr("127.0.0.1:1"), HasSubstr("refused")));
}

TEST_F(NodeTest, WhatASlowReaderIsSentStaysQueuedAndRoomIsReported) {
  ServingNode server(server_options(), {}, log, clock);
  auto options = client_options();
  options.credit_window = ByteCount(2 * (1u << 20) + 4096);
  SeekingNode client(options, log, clock);
  client.dial(server.listening());
  next<Up>(client);
  const WorkerId guest = next<Up>(server).peer;
  for (std::uint64_t i = 0; i < 6; ++i) server.send(guest, reply(i, 2'000'000));
  // Room there may have been while they were given to it; nobody consumes, so the queue stays.
  while (const auto event = server.next(300ms)) {
    ASSERT_TRUE(std::holds_alternative<Room>(*event));
  }
  EXPECT_GT(server.queued(guest), ByteCount(8'000'000));
  const auto begin = clock.now();
  std::thread reader([&] {
    for (int i = 0; i < 6; ++i) next<Delivery>(client);
  });
  EXPECT_EQ(next<Room>(server).peer, guest);
  EXPECT_LT(clock.now() - begin, 60s);
  EXPECT_LE(server.queued(guest), ByteCount(4u << 20));
  reader.join();
}

TEST_F(NodeTest, WhoClosedInVainIsToldSoHoweverOftenItAsks) {
  ServingNode server(server_options(), {}, log, clock);
  auto options = client_options();
  options.credit_window = ByteCount(2 * (1u << 20) + 4096);
  SeekingNode client(options, log, clock);
  client.dial(server.listening());
  next<Up>(client);
  const WorkerId guest = next<Up>(server).peer;
  for (std::uint64_t i = 0; i < 6; ++i) server.send(guest, reply(i, 2'000'000));
  EXPECT_FALSE(server.close(100ms)) << "nobody consumes them";
  EXPECT_FALSE(server.close(100ms));
}

// Of what comes from one that sends as fast as it can, so much is here: as long as nobody says that
// it is consumed.
TEST_F(NodeTest, CreditEndsWhereAMessageIsConsumedAndNotWhereItIsTaken) {
  ServingNode server(server_options(), {}, log, clock);
  SeekingNode client(client_options(), log, clock);
  const WorkerId there = client.dial(server.listening());
  constexpr std::size_t kBytes = 1'000'000;
  for (std::uint64_t i = 0; i < 20; ++i) client.send(there, reply(i, kBytes));
  next<Up>(server);
  std::vector<Delivery> held;
  const auto patience = [&] { return held.size() < 3 ? Duration(60s) : Duration(500ms); };
  while (auto event = server.next(patience())) {
    held.push_back(std::get<Delivery>(std::move(*event)));
  }
  EXPECT_GE(held.size(), 3u);
  EXPECT_LE(held.size() * kBytes, 4u << 20);
  const std::size_t before = held.size();
  held.clear();
  for (std::uint64_t i = before; i < 20; ++i) {
    EXPECT_TRUE(holds(next<Delivery>(server).message, reply(i, kBytes)));
  }
}

TEST_F(NodeTest, WhatAllPeersMaySendAheadTogetherIsBoundedAndEachMaySendSomething) {
  constexpr int kPeers = 12;
  auto options = server_options();
  options.credit_window = ByteCount(32u << 20);
  options.receive_limit = ByteCount(kPeers * wire::kUrgencies * (3u << 20));
  ServingNode server(
      options, {.introduction = introduction(), .admitted = std::nullopt, .max_guests = 2 * kPeers},
      log, clock);
  std::vector<std::unique_ptr<SeekingNode>> clients;
  for (int i = 0; i < kPeers; ++i) {
    clients.push_back(std::make_unique<SeekingNode>(client_options(), log, clock));
    clients.back()->dial(server.listening());
    next<Up>(*clients.back());
  }
  constexpr std::size_t kBytes = 500'000;
  for (auto& client : clients) {
    for (std::uint64_t i = 0; i < 30; ++i) {
      client->send(WorkerId::at(server.listening()), reply(i, kBytes));
    }
  }
  std::map<WorkerId, std::size_t> taken;
  std::vector<NodeEvent> held;
  const auto each_has_some = [&] {
    return taken.size() == clients.size() && std::ranges::all_of(taken, [](const auto& entry) {
             return entry.second >= kMinCreditWindow / 2;
           });
  };
  while (auto event = server.next(each_has_some() ? Duration(1s) : Duration(60s))) {
    if (const auto* delivery = std::get_if<Delivery>(&*event)) taken[delivery->from] += kBytes;
    held.push_back(std::move(*event));
  }
  EXPECT_EQ(taken.size(), static_cast<std::size_t>(kPeers));
  std::size_t all = 0;
  for (const auto& [peer, bytes] : taken) {
    EXPECT_GE(bytes, kMinCreditWindow / 2);
    all += bytes;
  }
  EXPECT_LE(all, options.receive_limit.value() / wire::kUrgencies + kPeers * kMinCreditWindow);
}

TEST_F(NodeTest, WhatAProcessSendsStaysBelowItsRate) {
  auto options = server_options();
  options.up_rate_bytes_per_s = ByteCount(2'000'000);
  ServingNode server(options, {}, log, clock);
  SeekingNode client(client_options(), log, clock);
  client.dial(server.listening());
  next<Up>(client);
  const WorkerId guest = next<Up>(server).peer;
  const TimePoint begin = clock.now();
  for (std::uint64_t i = 0; i < 6; ++i) server.send(guest, reply(i, 500'000));
  for (std::uint64_t i = 0; i < 6; ++i) next<Delivery>(client);
  // Five of them are paid for before the last may go.
  EXPECT_GE(clock.now() - begin, 1200ms);
}

// The limit is the process's, not each neighbour's.
TEST_F(NodeTest, WhatAProcessSendsToAllStaysBelowItsRate) {
  auto options = server_options();
  options.up_rate_bytes_per_s = ByteCount(2'000'000);
  ServingNode server(options, {}, log, clock);
  SeekingNode first(client_options(), log, clock);
  SeekingNode second(client_options(), log, clock);
  std::vector<WorkerId> guests;
  for (SeekingNode* client : {&first, &second}) {
    client->dial(server.listening());
    next<Up>(*client);
    guests.push_back(next<Up>(server).peer);
  }
  const TimePoint begin = clock.now();
  for (std::uint64_t i = 0; i < 3; ++i) {
    for (const WorkerId& guest : guests) server.send(guest, reply(i, 500'000));
  }
  for (std::uint64_t i = 0; i < 3; ++i) {
    next<Delivery>(first);
    next<Delivery>(second);
  }
  EXPECT_GE(clock.now() - begin, 1200ms);
}

TEST_F(NodeTest, EndpointsThatLeaveTheMachineNeedAKey) {
  EXPECT_THAT(
      error_text(ErrorKind::usage,
                 [&] { ServingNode server(server_options("tcp://0.0.0.0:0"), {}, log, clock); }),
      HasSubstr("has no key"));
  SeekingNode client(client_options(), log, clock);
  EXPECT_THAT(
      error_text(ErrorKind::usage, [&] { client.dial(parse_endpoint("tcp://192.0.2.1:7000")); }),
      HasSubstr("not on this machine"));
}

TEST_F(NodeTest, AnswersComeOverAsManyConnectionsAsTheClientWants) {
  ServingNode server(server_options(), {}, log, clock);
  auto options = client_options();
  options.connections = 3;
  SeekingNode client(options, log, clock);
  client.dial(server.listening());
  const WorkerId there = next<Up>(client).peer;
  const WorkerId here = next<Up>(server).peer;
  for (std::uint64_t i = 0; i < 8; ++i) {
    ASSERT_TRUE(server.send(here, reply(i, 3u << 20)));
    EXPECT_TRUE(holds(next<Delivery>(client).message, reply(i, 3u << 20)));
  }
  // More connections come after the first.
  const auto path = [&] { return client.traffic(there).path; };
  const auto deadline = clock.now() + 60s;
  while (path().find("(3 connections)") == std::string::npos && clock.now() < deadline) {
    std::this_thread::sleep_for(10ms);
  }
  EXPECT_THAT(path(), HasSubstr("(3 connections)"));
}

}  // namespace
}  // namespace ptrain::net
