// Stages that meet through a relay: real sessions over a real relay, on this machine.

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include "libcommon/base/error.h"
#include "libcommon/net/mesh.h"
#include "libcommon/net/numeric_address.h"
#include "libcommon/os/file_descriptor.h"
#include "libcommon/wire/frame.h"
#include "tests/unit/relay/meeting_stages.h"

namespace ptrain::relay {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;
using testing::StartsWith;

// Two stages, each with what it said.
struct Couple {
  SteadyClock clock;
  NullLog log;
  std::unique_ptr<net::Mesh> low;
  std::unique_ptr<net::Mesh> high;

  Couple(const net::MeshOptions& options0, const net::MeshOptions& options1)
      : low(std::make_unique<net::Mesh>(options0, log, clock)),
        high(std::make_unique<net::Mesh>(options1, log, clock)) {
    low->await_peers();
    high->await_peers();
  }

  void exchange(std::uint64_t from, std::uint64_t to, std::size_t bytes = 1000) {
    for (std::uint64_t step = from; step < to; ++step) {
      low->send(StageIndex(1), message_of(0, step, bytes));
      high->send(StageIndex(0), message_of(1, step, bytes));
    }
    for (std::uint64_t step = from; step < to; ++step) {
      expect(low->receive(kAnswerPatience), 1, step, bytes);
      expect(high->receive(kAnswerPatience), 0, step, bytes);
    }
  }

  static void expect(const std::optional<wire::Message>& message, std::uint32_t source,
                     std::uint64_t step, std::size_t bytes) {
    ASSERT_TRUE(message) << "step " << step << " did not come";
    EXPECT_EQ(message->name.source, StageIndex(source));
    EXPECT_EQ(message->name.step, Step(step));
    EXPECT_EQ(message->payload.size(), bytes);
  }
};

TEST(Meeting, StagesMeetAndExchangeMessagesThroughTheRelay) {
  WholeRelay relay;
  const auto ticket = ticket_of(TestRun(1), {relay.for_ticket()});
  Couple couple(options_of(0, 2, ticket), options_of(1, 2, ticket));
  couple.exchange(0, 200);
  couple.exchange(200, 203, 5u << 20);
  EXPECT_THAT(couple.high->traffic(StageIndex(0)).path, StartsWith("socks5://127.0.0.1:"));
  EXPECT_THAT(couple.low->traffic(StageIndex(1)).path, StartsWith("socks5://127.0.0.1:"));
  EXPECT_GT(relay.carrier.traffic().size(), 0u);
}

TEST(Meeting, BulkGoesThroughTheRelayOverAsManyConnectionsAsAreWanted) {
  WholeRelay relay;
  const auto ticket = ticket_of(TestRun(1), {relay.for_ticket()});
  auto dials = options_of(1, 2, ticket);
  dials.connections = wire::kMaxConnections;
  Couple couple(options_of(0, 2, ticket), dials);
  couple.exchange(0, 50);
  couple.exchange(50, 56, 5u << 20);
  // More connections come after the first.
  const auto has_all = [](const net::Mesh& mesh, StageIndex peer) {
    SteadyClock clock;
    const auto deadline = clock.now() + kAnswerPatience;
    while (clock.now() < deadline && !mesh.traffic(peer).path.ends_with("(8 connections)")) {
      std::this_thread::sleep_for(milliseconds(10));
    }
    return mesh.traffic(peer).path;
  };
  EXPECT_THAT(has_all(*couple.high, StageIndex(0)), HasSubstr("(8 connections)"));
  EXPECT_THAT(has_all(*couple.low, StageIndex(1)), HasSubstr("(8 connections)"));
}

TEST(Meeting, GoodbyesAreHeardThroughTheRelay) {
  WholeRelay relay;
  const auto ticket = ticket_of(TestRun(1), {relay.for_ticket()});
  Couple couple(options_of(0, 2, ticket), options_of(1, 2, ticket));
  couple.exchange(0, 10);
  std::thread other([&] { EXPECT_TRUE(couple.high->close(kAnswerPatience)); });
  EXPECT_TRUE(couple.low->close(kAnswerPatience));
  other.join();
}

TEST(Meeting, AnyStartOrderWillDo) {
  WholeRelay relay;
  const auto ticket = ticket_of(TestRun(1), {relay.for_ticket()});
  SteadyClock clock;
  NullLog log;
  std::vector<std::unique_ptr<net::Mesh>> stages;
  for (const std::uint32_t stage : {2u, 0u, 1u}) {
    stages.push_back(std::make_unique<net::Mesh>(options_of(stage, 3, ticket), log, clock));
  }
  for (auto& stage : stages) stage->await_peers();
}

TEST(Meeting, ADirectPathIsPreferredWhereThereIsOne) {
  const std::string host = address_of_this_host();
  if (host.empty()) GTEST_SKIP() << "this host has no address that others could dial";
  WholeRelay relay;
  const auto ticket = ticket_of(TestRun(1), {relay.for_ticket()});
  auto low = options_of(0, 2, ticket);
  low.listen = net::parse_endpoint("tcp://" + host + ":0");
  SteadyClock clock;
  Couple couple(low, options_of(1, 2, ticket));
  const auto deadline = clock.now() + kAnswerPatience;
  std::uint64_t step = 0;
  while (!couple.high->traffic(StageIndex(0)).path.starts_with("tcp://") &&
         clock.now() < deadline) {
    couple.exchange(step, step + 20);
    step += 20;
    std::this_thread::sleep_for(milliseconds(20));
  }
  EXPECT_THAT(couple.high->traffic(StageIndex(0)).path, StartsWith("tcp://" + host + ":"));
}

// Who had the place before it registered by a clock that was ahead.
TEST(Meeting, AStageWhoseClockIsBehindIsDialledWhereItSays) {
  const std::string host = address_of_this_host();
  if (host.empty()) GTEST_SKIP() << "this host has no address that others could dial";
  WholeRelay relay;
  const TestRun run(1);
  const auto ticket = ticket_of(run, {relay.for_ticket()});
  auto low = options_of(0, 2, ticket);
  auto high = options_of(1, 2, ticket);
  low.meeting->relayed = high.meeting->relayed = false;
  low.listen = net::parse_endpoint("tcp://" + host + ":0");
  SteadyClock clock;
  NullLog log;
  RelayClient before(relay.control.endpoint());
  constexpr std::uint64_t kFarAhead = std::uint64_t{1} << 62;
  before.ask_for<net::answer::Granted>(
      net::request::Register{run.record(before.key(), "stage-0", kFarAhead)});
  net::Mesh high_mesh(high, log, clock);
  before.push_of<net::answer::Introduced>();  // to stage 1, which dials 192.0.2.1 since
  before.ask_for<net::answer::Left>(net::request::Leave{run.as("stage-0")});
  net::Mesh low_mesh(low, log, clock);
  high_mesh.await_peers();
  low_mesh.await_peers();
}

// Somebody's port, and how often it was called.
class ThirdParty {
 public:
  explicit ThirdParty(const std::string& host) {
    const auto address = net::numeric_address(host, 0);
    socket_ = os::FileDescriptor(::socket(address->family(), SOCK_STREAM | SOCK_NONBLOCK, 0));
    if (::bind(socket_.get(), address->get(), address->length) != 0 ||
        ::listen(socket_.get(), 1000) != 0)
      throw io_error("listen on " + host, errno);
    sockaddr_storage bound{};
    socklen_t length = sizeof bound;
    ::getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&bound), &length);
    at_ = net::endpoint_of(bound);
  }
  const net::Endpoint& at() const { return at_; }
  int calls() {
    while (true) {
      os::FileDescriptor caller(::accept(socket_.get(), nullptr, nullptr));
      if (!caller.valid()) return calls_;
      ++calls_;
    }
  }

 private:
  os::FileDescriptor socket_;
  net::Endpoint at_;
  int calls_ = 0;
};

// A holder of the ticket that names others' addresses, and ever new ones: six connections and three
// attempts at each would be too many for the first alone.
TEST(Meeting, WhereAPeerSendsUsWeCallAFewTimes) {
  const std::string host = address_of_this_host();
  if (host.empty()) GTEST_SKIP() << "this host has no address that others could dial";
  ThirdParty here(host);
  ThirdParty there(host);
  WholeRelay relay;
  const TestRun run(1);
  auto high = options_of(1, 2, ticket_of(run, {relay.for_ticket()}));
  high.connections = 5;
  SteadyClock clock;
  NullLog log;
  RelayClient liar(relay.control.endpoint());
  const auto claim = [&](std::uint64_t sequence, const net::Endpoint& candidate) {
    net::PeerRecord record = run.opened(liar.key(), "stage-0", sequence, 0);
    record.candidates.push_back(candidate);
    liar.ask_for<net::answer::Granted>(net::request::Register{run.signed_by_members(record)});
  };
  claim(1, here.at());
  net::Mesh mesh(high, log, clock);
  liar.push_of<net::answer::Introduced>();
  const TimePoint end = clock.now() + seconds(5);
  for (std::uint64_t sequence = 2; clock.now() < end; ++sequence) {
    claim(sequence, sequence % 2 == 0 ? there.at() : here.at());
    std::this_thread::sleep_for(milliseconds(200));
  }
  EXPECT_GT(here.calls(), 0);
  EXPECT_LE(here.calls() + there.calls(), 15);
}

TEST(Meeting, RelaysOnlyIntroduceWhenOnlyDirectPathsAreWanted) {
  WholeRelay relay;
  const auto ticket = ticket_of(TestRun(1), {relay.for_ticket()});
  auto low = options_of(0, 2, ticket);
  auto high = options_of(1, 2, ticket);
  low.meeting->relayed = high.meeting->relayed = false;
  high.connect_timeout = seconds(2);
  SteadyClock clock;
  NullLog log;
  net::Mesh low_mesh(low, log, clock);
  net::Mesh high_mesh(high, log, clock);
  try {
    high_mesh.await_peers();
    FAIL() << "there is no direct path";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::unavailable);
    EXPECT_THAT(error.what(), HasSubstr("stage 0"));
  }
  EXPECT_EQ(relay.carrier.traffic().size(), 0u);
}

TEST(Meeting, ASecondRelayTakesOverWhenTheFirstDies) {
  auto first = std::make_unique<WholeRelay>();
  WholeRelay second;
  const auto ticket = ticket_of(TestRun(1), {first->for_ticket(), second.for_ticket()});
  Couple couple(options_of(0, 2, ticket), options_of(1, 2, ticket));
  couple.exchange(0, 100);
  first.reset();
  couple.exchange(100, 200);
  EXPECT_THAT(couple.high->traffic(StageIndex(0)).path,
              HasSubstr(std::to_string(second.carrier.port())));
}

// Two relays that gossip.
struct WholeNeighbours {
  WholeRelay west;
  WholeRelay east;

  WholeNeighbours() {
    name(west, east);
    name(east, west);
  }
  static void name(WholeRelay& at, const WholeRelay& neighbour) {
    AccessRules rules;
    rules.neighbours.push_back(neighbour.for_ticket());
    at.control.set_rules(rules);
  }
};

TEST(Meeting, StagesOfDifferentRelaysMeetWhenThoseAreNeighbours) {
  WholeNeighbours relays;
  const TestRun run(1);
  Couple couple(options_of(0, 2, ticket_of(run, {relays.west.for_ticket()})),
                options_of(1, 2, ticket_of(run, {relays.east.for_ticket()})));
  couple.exchange(0, 200);
  couple.exchange(200, 202, 2u << 20);
  // Who dials has asked its own relay.
  EXPECT_THAT(couple.high->traffic(StageIndex(0)).path,
              HasSubstr(std::to_string(relays.east.carrier.port())));
  EXPECT_GT(relays.east.carrier.traffic().size(), 0u);
}

TEST(Meeting, StagesOfOneTicketMeetWhereEachReachesTheControlPortOfAnotherRelay) {
  WholeNeighbours relays;
  const TestRun run(1);
  const net::TicketRelay west = relays.west.for_ticket();
  const net::TicketRelay east = relays.east.for_ticket();
  net::TicketRelay west_behind_a_wall = west;
  net::TicketRelay east_behind_a_wall = east;
  west_behind_a_wall.control.port = east_behind_a_wall.control.port = 1;
  Couple couple(options_of(0, 2, ticket_of(run, {west, east_behind_a_wall})),
                options_of(1, 2, ticket_of(run, {west_behind_a_wall, east})));
  couple.exchange(0, 100);
}

TEST(Meeting, ThreeStagesOfThreeRelaysMeet) {
  WholeRelay relays[3];
  for (WholeRelay& relay : relays) {
    AccessRules rules;
    for (const WholeRelay& other : relays) {
      if (&other != &relay) rules.neighbours.push_back(other.for_ticket());
    }
    relay.control.set_rules(rules);
  }
  const TestRun run(1);
  SteadyClock clock;
  NullLog log;
  std::vector<std::unique_ptr<net::Mesh>> stages;
  for (const std::uint32_t stage : {1u, 2u, 0u}) {
    stages.push_back(std::make_unique<net::Mesh>(
        options_of(stage, 3, ticket_of(run, {relays[stage].for_ticket()})), log, clock));
  }
  for (auto& stage : stages) stage->await_peers();
}

TEST(Meeting, WhatRelaysHaveIntroducedGoesOnWhenTheOtherOneDies) {
  WholeRelay east;
  auto west = std::make_unique<WholeRelay>();
  WholeNeighbours::name(*west, east);
  WholeNeighbours::name(east, *west);
  const TestRun run(1);
  Couple couple(options_of(0, 2, ticket_of(run, {west->for_ticket()})),
                options_of(1, 2, ticket_of(run, {east.for_ticket()})));
  couple.exchange(0, 100);
  west.reset();
  couple.exchange(100, 200);
}

TEST(Meeting, HoldersOfAnotherTicketDoNotMeet) {
  WholeRelay relay;
  auto low = options_of(0, 2, ticket_of(TestRun(1), {relay.for_ticket()}));
  auto high = options_of(1, 2, ticket_of(TestRun(2), {relay.for_ticket()}));
  high.connect_timeout = seconds(5);  // in which both must register
  SteadyClock clock;
  NullLog log;
  net::Mesh low_mesh(low, log, clock);
  net::Mesh high_mesh(high, log, clock);
  try {
    high_mesh.await_peers();
    FAIL() << "they are in different runs";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("it has not registered with our relays"));
  }
}

TEST(Meeting, ARelayThatIsNotThereIsNamed) {
  net::TicketRelay nowhere{.control = net::parse_endpoint("tcp://127.0.0.1:1"), .data_port = 2};
  nowhere.control.key = net::KeyPair::generate().public_key();
  auto options = options_of(1, 2, ticket_of(TestRun(1), {nowhere}));
  options.connect_timeout = seconds(5);  // in which an attempt must fail
  SteadyClock clock;
  NullLog log;
  net::Mesh mesh(options, log, clock);
  try {
    mesh.await_peers();
    FAIL() << "there is no relay";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::unavailable);
    EXPECT_THAT(error.what(), HasSubstr("relay 127.0.0.1:1: connection refused"));
  }
}

TEST(Meeting, AMemberThatTheRelayRemovesIsTold) {
  WholeRelay relay;
  AccessRules rules;
  rules.peers.emplace();
  relay.control.set_rules(rules);
  auto options = options_of(1, 2, ticket_of(TestRun(1), {relay.for_ticket()}));
  options.connect_timeout = seconds(2);
  SteadyClock clock;
  NullLog log;
  net::Mesh mesh(options, log, clock);
  EXPECT_THROW(mesh.await_peers(), Error);
}

// How the start of a stage with that ticket ends.
Error failure_of_start(const net::Ticket& ticket) {
  SteadyClock clock;
  NullLog log;
  net::Mesh mesh(options_of(1, 2, ticket), log, clock);
  try {
    mesh.await_peers();
  } catch (const Error& error) {
    return error;
  }
  throw std::runtime_error("nobody was there to be met");
}

// Refuses everyone, as a relay of the protocol's first version does.
class FirstRelay {
 public:
  FirstRelay() {
    router_.set(zmq::sockopt::linger, 0);
    router_.set(zmq::sockopt::rcvtimeo, 50);
    router_.set(zmq::sockopt::curve_server, true);
    router_.set(zmq::sockopt::curve_secretkey, zmq::const_buffer(key_.secret_key().data(), 32));
    router_.bind("tcp://127.0.0.1:*");
    control_ = net::parse_endpoint(router_.get(zmq::sockopt::last_endpoint));
    control_.key = key_.public_key();
    thread_ = std::thread([this] { run(); });
  }
  ~FirstRelay() {
    stop_ = true;
    thread_.join();
  }
  net::TicketRelay for_ticket() const { return {.control = control_, .data_port = 1}; }

 private:
  void run() {
    while (!stop_) {
      zmq::message_t from;
      if (!router_.recv(from)) continue;
      zmq::message_t request;
      static_cast<void>(router_.recv(request));
      const auto refusal = net::encode_refusal(
          {.id = 0, .body = net::answer::Refused{.text = "version 2, ours is 1"}}, 1);
      router_.send(from, zmq::send_flags::sndmore);
      router_.send(zmq::buffer(refusal), zmq::send_flags::none);
    }
  }

  net::KeyPair key_ = net::KeyPair::generate();
  zmq::context_t context_;
  zmq::socket_t router_{context_, zmq::socket_type::router};
  net::Endpoint control_;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

TEST(Meeting, WhereAllRelaysSpeakAnotherVersionTheStartEndsAndNamesBoth) {
  FirstRelay relay;
  const Error error = failure_of_start(ticket_of(TestRun(1), {relay.for_ticket()}));
  EXPECT_EQ(error.kind(), ErrorKind::usage);
  EXPECT_THAT(error.what(), HasSubstr("relay protocol version 1, ours is 2"));
}

TEST(Meeting, OneRelayOfOurVersionIsEnough) {
  FirstRelay other;
  WholeRelay relay;
  const auto ticket = ticket_of(TestRun(1), {other.for_ticket(), relay.for_ticket()});
  Couple couple(options_of(0, 2, ticket), options_of(1, 2, ticket));
  couple.exchange(0, 10);
}

TEST(Meeting, AnExpiredTicketEndsTheStartWithTheRemedy) {
  WholeRelay relay;
  TestRun run(1);
  run.grant = run.granted_until(net::wall_now() - seconds(1));
  const Error error = failure_of_start(ticket_of(run, {relay.for_ticket()}));
  EXPECT_EQ(error.kind(), ErrorKind::permission);
  EXPECT_THAT(error.what(), HasSubstr("ticket renew"));
}

TEST(Meeting, WhoIsRevokedLosesItsConnections) {
  WholeRelay relay;
  const TestRun run(1);
  const auto ticket = ticket_of(run, {relay.for_ticket()});
  const auto high = options_of(1, 2, ticket);
  Couple couple(options_of(0, 2, ticket), high);
  couple.exchange(0, 10);
  RelayClient issuer(relay.control.endpoint());
  issuer.ask_for<net::answer::Revoked>(
      net::request::Revoke{run.revocation(high.key->public_key())});
  const auto end = std::chrono::steady_clock::now() + kAnswerPatience;
  while (!couple.low->traffic(StageIndex(1)).path.empty()) {
    ASSERT_LT(std::chrono::steady_clock::now(), end);
    std::this_thread::sleep_for(milliseconds(20));
  }
}

// A connection that came to us is none of those that we make at a relay's word.
TEST(Meeting, WhoIsRevokedLosesADirectConnectionAndItsEndHarmsNobody) {
  const std::string address = address_of_this_host();
  if (address.empty()) GTEST_SKIP() << "this host has no address that others could dial";
  WholeRelay relay;
  const TestRun run(1);
  const auto ticket = ticket_of(run, {relay.for_ticket()});
  auto low = options_of(0, 2, ticket);
  low.listen = net::parse_endpoint("tcp://" + address + ":0");
  const auto high = options_of(1, 2, ticket);
  Couple couple(low, high);
  couple.exchange(0, 10);
  const auto until = [&](const auto& holds) {
    const auto end = std::chrono::steady_clock::now() + kAnswerPatience;
    while (!holds() && std::chrono::steady_clock::now() < end) {
      std::this_thread::sleep_for(milliseconds(20));
    }
    return holds();
  };
  ASSERT_TRUE(until([&] {
    const auto route = couple.low->traffic(StageIndex(1)).route;
    return route && route->kind == net::RouteKind::direct;
  }));
  RelayClient issuer(relay.control.endpoint());
  issuer.ask_for<net::answer::Revoked>(
      net::request::Revoke{run.revocation(high.key->public_key())});
  EXPECT_TRUE(until([&] { return couple.low->traffic(StageIndex(1)).path.empty(); }));
  couple.high.reset();
  std::this_thread::sleep_for(milliseconds(300));
  EXPECT_NO_THROW(couple.low->traffic(StageIndex(1)));
  EXPECT_EQ(couple.low->lost_links().size(), 1u) << "and waits for another one";
}

}  // namespace
}  // namespace ptrain::relay
