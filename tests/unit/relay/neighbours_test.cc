// Relays that gossip, over real sockets: what members of one see of those of another, and what
// those who are no neighbours, or lie, get out of it.

#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/unit/os/temporary_directory.h"
#include "tests/unit/relay/running_relay.h"

namespace ptrain::relay {
namespace {

using namespace std::chrono_literals;
namespace request = net::request;
namespace answer = net::answer;

AccessRules naming(const std::vector<const RunningRelay*>& neighbours, AccessRules rules = {}) {
  for (const RunningRelay* neighbour : neighbours) rules.neighbours.push_back(neighbour->word());
  return rules;
}

void befriend(RunningRelay& a, RunningRelay& b) {
  a.set_rules(naming({&b}));
  b.set_rules(naming({&a}));
}

// Asks no more often than a member may for as long as it has patience (kMemberRule).
bool await(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + kAnswerPatience;
  while (std::chrono::steady_clock::now() < deadline) {
    if (condition()) return true;
    std::this_thread::sleep_for(100ms);
  }
  return false;
}

// Whether each follows the other. A relay that was asked before it had read who its neighbours are
// is asked again only seconds later.
bool follow_each_other(const RunningRelay& a, const RunningRelay& b) {
  const auto follows = [](const RunningRelay& relay) {
    RelayClient chief(relay.endpoint(), {.key = relay.key()});
    const auto totals = chief.ask_for<answer::Surveyed>(request::Survey{request::Subject::totals});
    const auto first = nlohmann::json::parse(totals.lines.at(0));
    return first.at("kind") == "neighbour" && first.at("connected").get<bool>();
  };
  return await([&] { return follows(a) && follows(b); });
}

std::size_t count_seen(RelayClient& client, const net::Membership& as) {
  return client.ask_for<answer::Found>(request::LookUp{.as = as}).records.size();
}

// Renews as `as`, so that the client is there while it waits; what comes without being asked for
// meanwhile, if it is such.
template <class Body>
std::optional<Body> push_while_renewing(RelayClient& client, const net::Membership& as) {
  const auto deadline = std::chrono::steady_clock::now() + kAnswerPatience;
  while (std::chrono::steady_clock::now() < deadline) {
    client.ask(request::Renew{as});
    while (const auto push = client.push(50ms)) {
      if (const auto* body = std::get_if<Body>(&push->body)) return *body;
    }
  }
  return std::nullopt;
}

struct Neighbours : testing::Test {
  explicit Neighbours(RunningOptions east_options = {}) : east(std::move(east_options)) {
    befriend(west, east);
  }
  // Both are registered, each with its own relay, and see each other.
  void meet() {
    a.join(run, "stage-0");
    b.join(run, "stage-1");
    ASSERT_TRUE(await([&] { return count_seen(a, run.as("stage-0")) == 2; }));
    ASSERT_TRUE(await([&] { return count_seen(b, run.as("stage-1")) == 2; }));
  }

  RunningRelay west;
  RunningRelay east;
  TestRun run{1};
  RelayClient a{west.endpoint()};
  RelayClient b{east.endpoint()};
};

TEST_F(Neighbours, AMemberOfOneIsFoundThroughTheOther) {
  meet();
  const auto found = a.ask_for<answer::Found>(request::LookUp{run.as("stage-0"), "stage-1"});
  ASSERT_EQ(found.records.size(), 1u);
  EXPECT_EQ(found.records[0], run.record(b.key(), "stage-1"));
}

TEST_F(Neighbours, WatchersHearOfWhoComesChangesAndGoesElsewhere) {
  a.join(run, "stage-0");
  const auto before = a.ask_for<answer::Granted>(request::Watch{run.as("stage-0")});
  b.join(run, "stage-1");
  const auto came = a.push_of<answer::Appeared>();
  EXPECT_EQ(came.record, run.record(b.key(), "stage-1"));
  EXPECT_EQ(came.registry_version, before.registry_version + 1);
  b.join(run, "stage-1", 2);
  EXPECT_EQ(a.push_of<answer::Appeared>().record, run.record(b.key(), "stage-1", 2));
  b.ask_for<answer::Left>(request::Leave{run.as("stage-1")});
  const auto went = a.push_of<answer::Departed>();
  EXPECT_EQ(went.who, b.place("stage-1"));
  EXPECT_EQ(went.registry_version, before.registry_version + 3);
}

TEST_F(Neighbours, BothSidesOfAnIntroductionAcrossRelaysGetRecordAndTokens) {
  meet();
  const auto to_a = a.ask_for<answer::Introduced>(
      request::Introduce{.as = run.as("stage-0"), .to = b.place("stage-1"), .paths = 2});
  const auto to_b = b.push_of<answer::Introduced>();
  EXPECT_TRUE(to_a.asker);
  EXPECT_FALSE(to_b.asker);
  EXPECT_EQ(to_a.record, run.record(b.key(), "stage-1"));
  EXPECT_EQ(to_b.record, run.record(a.key(), "stage-0"));
  ASSERT_EQ(to_a.tokens.size(), 2u);
  ASSERT_EQ(to_b.tokens.size(), 2u);
  for (std::uint8_t path = 0; path < 2; ++path) {
    EXPECT_FALSE(to_a.tokens[path].relay) << "it is that relay's own data port";
    EXPECT_EQ(to_b.tokens[path].relay, west.key().public_key());
    const auto ours = west.desk.redeem(to_a.tokens[path].token, {});
    const auto theirs = west.desk.redeem(to_b.tokens[path].token, {});
    ASSERT_TRUE(ours && theirs);
    EXPECT_EQ(ours->pairing, theirs->pairing) << "they meet";
    EXPECT_EQ(theirs->owner(), b.place("stage-1"));
  }
}

TEST_F(Neighbours, ATokenThatWasUsedIsReplacedAcrossRelays) {
  meet();
  a.ask_for<answer::Introduced>(request::Introduce{run.as("stage-0"), b.place("stage-1"), 1});
  const auto to_b = b.push_of<answer::Introduced>();
  ASSERT_TRUE(west.desk.redeem(to_b.tokens.at(0).token, {}));
  const auto fresh = b.push_of<answer::PathToken>();
  EXPECT_EQ(fresh.to, a.place("stage-0"));
  EXPECT_EQ(fresh.relay, west.key().public_key());
  EXPECT_NE(fresh.token, to_b.tokens[0].token);
  EXPECT_TRUE(west.desk.redeem(fresh.token, {}));
}

TEST_F(Neighbours, WhoLeavesItsRelayLosesItsTokensAtTheOther) {
  meet();
  b.ask_for<answer::Left>(request::Leave{run.as("stage-1")});
  EXPECT_TRUE(await([&] { return west.was_revoked(run.key(), b.place("stage-1")); }));
  EXPECT_EQ(a.refusal(request::Introduce{run.as("stage-0"), b.place("stage-1"), 1}),
            net::Refusal::unknown_peer);
}

TEST_F(Neighbours, WhoIsRegisteredWithBothIsThereUntilItHasLeftBoth) {
  meet();
  RelayClient also(west.endpoint());
  const TestRun second(2);
  also.join(second, "stage-5");
  RelayClient there(east.endpoint(), {.key = net::KeyPair::generate()});
  there.join(second, "stage-6");
  ASSERT_TRUE(await([&] { return count_seen(also, second.as("stage-5")) == 2; }));
  RelayClient same(west.endpoint(), {.key = there.pair()});
  same.join(second, "stage-6");
  ASSERT_TRUE(await([&] { return count_seen(there, second.as("stage-6")) == 2; }));
  same.ask_for<answer::Left>(request::Leave{second.as("stage-6")});
  EXPECT_EQ(count_seen(also, second.as("stage-5")), 2u);
  EXPECT_FALSE(west.was_revoked(second.key(), there.place("stage-6")));
  there.ask_for<answer::Left>(request::Leave{second.as("stage-6")});
  EXPECT_TRUE(await([&] { return count_seen(also, second.as("stage-5")) == 1; }));
  EXPECT_TRUE(await([&] { return west.was_revoked(second.key(), there.place("stage-6")); }));
}

TEST_F(Neighbours, AMemberThatIsAtTheOtherRelayAndNotConnectedIsAskedForAgain) {
  meet();
  const net::Place who = b.place("stage-1");
  // Its connection is gone; the relay knows when it has tried to tell it something.
  b.socket.close();
  answer::Refused refused;
  ASSERT_TRUE(await([&] {
    const auto told = a.ask(request::Introduce{run.as("stage-0"), who, 1});
    const auto* body = std::get_if<answer::Refused>(&told.body);
    if (body != nullptr) refused = *body;
    return body != nullptr;
  }));
  EXPECT_EQ(refused.reason, net::Refusal::unknown_peer);
  EXPECT_EQ(refused.retry_ms, kAbsentRetryMs);
}

TEST_F(Neighbours, TheOperatorSeesWhereMembersAre) {
  meet();
  RelayClient chief(west.endpoint(), {.key = west.key()});
  std::map<std::string, std::string> at;
  for (const auto& line : chief.ask_for<answer::Surveyed>(request::Survey{}).lines) {
    const auto peer = nlohmann::json::parse(line);
    at[peer.at("role")] = peer.at("at");
  }
  EXPECT_EQ(at["stage-0"], "here");
  EXPECT_EQ(at["stage-1"], "127.0.0.1:" + std::to_string(east.endpoint().port));
  const auto totals = chief.ask_for<answer::Surveyed>(request::Survey{request::Subject::totals});
  const auto neighbour = nlohmann::json::parse(totals.lines.at(0));
  EXPECT_EQ(neighbour.at("kind"), "neighbour");
  EXPECT_EQ(neighbour.at("connected"), true);
  EXPECT_EQ(neighbour.at("members"), 1);
  const auto runs = chief.ask_for<answer::Surveyed>(request::Survey{request::Subject::runs});
  EXPECT_EQ(nlohmann::json::parse(runs.lines.at(0)).at("elsewhere"), 1);
}

TEST(NeighboursLease, AtItsEndAtOneAMemberIsGoneAtTheOther) {
  RunningRelay west;
  RunningRelay east({.limits = {.lease = 5s}});
  befriend(west, east);
  ASSERT_TRUE(follow_each_other(west, east));
  const TestRun run(1);
  RelayClient a(west.endpoint());
  RelayClient b(east.endpoint());
  a.join(run, "stage-0");
  a.ask_for<answer::Granted>(request::Watch{run.as("stage-0")});
  b.join(run, "stage-1");
  EXPECT_TRUE(push_while_renewing<answer::Appeared>(a, run.as("stage-0")));
  // b says no more.
  const auto departed = push_while_renewing<answer::Departed>(a, run.as("stage-0"));
  ASSERT_TRUE(departed);
  EXPECT_EQ(departed->who, b.place("stage-1"));
  EXPECT_TRUE(west.was_revoked(run.key(), b.place("stage-1")));
}

TEST(NeighboursDeath, ANeighbourThatDiesAndComesBackIsForgottenAndKnownAgain) {
  const os::TemporaryDirectory folder;
  const net::KeyPair key = net::KeyPair::generate();
  RunningRelay west({.limits = {.lease = 5s}});
  auto east = std::make_unique<RunningRelay>(RunningOptions{.state = folder.path(), .key = key});
  befriend(west, *east);
  const TestRun run(1);
  RelayClient a(west.endpoint());
  a.join(run, "stage-0");
  a.ask_for<answer::Granted>(request::Watch{run.as("stage-0")});
  const net::KeyPair there = net::KeyPair::generate();
  {
    RelayClient b(east->endpoint(), {.key = there});
    b.join(run, "stage-1");
    EXPECT_TRUE(push_while_renewing<answer::Appeared>(a, run.as("stage-0")));
  }
  const std::string listen = "tcp://127.0.0.1:" + std::to_string(east->endpoint().port);
  east.reset();
  const auto departed = push_while_renewing<answer::Departed>(a, run.as("stage-0"));
  ASSERT_TRUE(departed);
  EXPECT_FALSE(west.was_revoked(run.key(), departed->who)) << "its streams go on";
  east = std::make_unique<RunningRelay>(RunningOptions{
      .rules = naming({&west}), .state = folder.path(), .key = key, .listen = listen});
  const auto appeared = push_while_renewing<answer::Appeared>(a, run.as("stage-0"));
  ASSERT_TRUE(appeared);
  EXPECT_EQ(appeared->record, run.record(there.public_key(), "stage-1"));
}

TEST(ThreeNeighbours, KnowEachMemberOnceAndPassOnNothing) {
  RunningRelay first;
  RunningRelay second;
  RunningRelay third;
  // All are the second's neighbours, and the first and the third do not know each other.
  first.set_rules(naming({&second}));
  second.set_rules(naming({&first, &third}));
  third.set_rules(naming({&second}));
  const TestRun run(1);
  RelayClient a(first.endpoint());
  RelayClient b(second.endpoint());
  RelayClient c(third.endpoint());
  a.join(run, "stage-0");
  b.join(run, "stage-1");
  c.join(run, "stage-2");
  EXPECT_TRUE(await([&] { return count_seen(b, run.as("stage-1")) == 3; }));
  EXPECT_TRUE(await([&] { return count_seen(a, run.as("stage-0")) == 2; }));
  EXPECT_TRUE(await([&] { return count_seen(c, run.as("stage-2")) == 2; }));
  std::this_thread::sleep_for(300ms);
  EXPECT_EQ(count_seen(a, run.as("stage-0")), 2u) << "c is not the second's to tell of";
  first.set_rules(naming({&second, &third}));
  third.set_rules(naming({&first, &second}));
  EXPECT_TRUE(await([&] { return count_seen(a, run.as("stage-0")) == 3; }));
  EXPECT_TRUE(await([&] { return count_seen(c, run.as("stage-2")) == 3; }));
}

TEST(OneSided, WhoIsNotNamedAsANeighbourIsToldNothing) {
  RunningRelay west;
  RunningRelay east;
  west.set_rules(naming({&east}));
  const TestRun run(1);
  RelayClient a(west.endpoint());
  RelayClient b(east.endpoint());
  a.join(run, "stage-0");
  b.join(run, "stage-1");
  RelayClient chief(west.endpoint(), {.key = west.key()});
  EXPECT_TRUE(await([&] {
    const auto totals = chief.ask_for<answer::Surveyed>(request::Survey{request::Subject::totals});
    const auto neighbour = nlohmann::json::parse(totals.lines.at(0));
    const std::string trouble = neighbour.value("trouble", "");
    return trouble.find("does not name you") != std::string::npos && !neighbour.at("connected");
  }));
  EXPECT_EQ(count_seen(a, run.as("stage-0")), 1u);
  EXPECT_EQ(count_seen(b, run.as("stage-1")), 1u);
}

TEST(NeighbourRules, ARelayThatServesCertainKeysAdmitsItsNeighboursForGossipOnly) {
  const net::KeyPair member = net::KeyPair::generate();
  RunningRelay west;
  RunningRelay east;
  AccessRules closed;
  closed.peers.emplace().insert(member.public_key());
  west.set_rules(naming({&east}, closed));
  east.set_rules(naming({&west}));
  const TestRun run(1);
  RelayClient a(west.endpoint(), {.key = member});
  RelayClient b(east.endpoint());
  a.join(run, "stage-0");
  b.join(run, "stage-1");
  EXPECT_TRUE(await([&] { return count_seen(b, run.as("stage-1")) == 2; }));
  EXPECT_EQ(count_seen(a, run.as("stage-0")), 1u) << "b is not served here";
  EXPECT_EQ(b.ask_for<answer::Refused>(request::Introduce{run.as("stage-1"), a.place("stage-0"), 1})
                .retry_ms,
            kAbsentRetryMs)
      << "nor introduced";
  RelayClient posing(west.endpoint(), {.key = east.key()});
  EXPECT_EQ(posing.refusal(request::Register{run.record(posing.key(), "stage-2")}),
            net::Refusal::not_allowed);
}

TEST_F(Neighbours, WhatTheRulesNoLongerNameIsForgotten) {
  meet();
  west.set_rules({});
  EXPECT_TRUE(await([&] { return count_seen(a, run.as("stage-0")) == 1; }));
  EXPECT_TRUE(west.was_revoked(run.key(), b.place("stage-1")));
  befriend(west, east);
  EXPECT_TRUE(await([&] { return count_seen(a, run.as("stage-0")) == 2; }));
}

TEST_F(Neighbours, ARunThatIsNotServedIsNotTakenFromANeighbour) {
  meet();
  AccessRules rules;
  rules.runs.emplace().insert(net::RunId(TestRun(2).key()));
  east.set_rules(naming({&west}, rules));
  RelayClient other(east.endpoint());
  const TestRun second(2);
  other.join(second, "stage-0");
  RelayClient mate(west.endpoint());
  mate.join(second, "stage-1");
  EXPECT_TRUE(await([&] { return count_seen(other, second.as("stage-0")) == 2; }));
  RelayClient chief(east.endpoint(), {.key = east.key()});
  EXPECT_EQ(chief.ask_for<answer::Surveyed>(request::Survey{request::Subject::runs}).lines.size(),
            1u);
}

TEST_F(Neighbours, ALongListCrossesInPages) {
  RelayClient many(east.endpoint());
  for (std::size_t i = 0; i < kMaxPlacesPerKey; ++i) {
    many.ask_for<answer::Granted>(
        request::Register{run.record(many.key(), "r" + std::to_string(i), 1, net::kMaxCandidates)});
  }
  RunningRelay late({.rules = naming({&east})});
  east.set_rules(naming({&west, &late}));
  RelayClient reader(late.endpoint());
  reader.join(run, "stage-9");
  const auto seen = [&] {
    std::size_t records = 0;
    net::Place after;
    for (bool complete = false; !complete;) {
      const auto page =
          reader.ask_for<answer::Found>(request::LookUp{.as = run.as("stage-9"), .after = after});
      complete = page.complete;
      records += page.records.size();
      if (complete) break;
      const auto last = std::get<net::PeerRecord>(net::open(page.records.back()));
      after = {.peer_key = last.peer_key, .role = last.role};
    }
    return records;
  };
  EXPECT_TRUE(await([&] { return seen() == kMaxPlacesPerKey + 1; }));
}

// ---- Those who are no neighbours.

TEST_F(Neighbours, NobodyElseMayMirrorOrForward) {
  meet();
  RelayClient stranger(west.endpoint());
  const request::Forward message{.run_key = run.key(),
                                 .to = a.place("stage-0"),
                                 .record = run.record(b.key(), "stage-1"),
                                 .tokens = {}};
  for (RelayClient* client : {&stranger, &a}) {
    EXPECT_EQ(client->refusal(request::Mirror{}), net::Refusal::not_allowed);
    EXPECT_EQ(client->refusal(message), net::Refusal::not_allowed);
  }
  EXPECT_FALSE(a.push(100ms));
}

TEST_F(Neighbours, AForwardThatSomebodyElseRepeatsIsRefused) {
  meet();
  // The very bytes that the neighbour sent.
  const net::Request copied{.id = 5,
                            .body = request::Forward{.run_key = run.key(),
                                                     .to = a.place("stage-0"),
                                                     .record = run.record(b.key(), "stage-1"),
                                                     .tokens = {}}};
  RelayClient stranger(west.endpoint());
  stranger.send_parts({net::encode(copied)});
  const auto told = stranger.receive(kAnswerPatience);
  ASSERT_TRUE(told);
  EXPECT_EQ(std::get<answer::Refused>(told->body).reason, net::Refusal::not_allowed);
  EXPECT_FALSE(a.push(100ms));
}

// ---- A neighbour that lies: a client with the key of one.

struct LyingNeighbour : testing::Test {
  LyingNeighbour() {
    AccessRules rules;
    net::Endpoint nowhere = net::parse_endpoint("tcp://127.0.0.1:1");
    nowhere.key = liar.key();
    rules.neighbours.push_back({.control = nowhere, .data_port = 1});
    relay.set_rules(rules);
    member.join(run, "stage-0");
    // From when on it is a neighbour.
    EXPECT_TRUE(await([&] {
      return !std::holds_alternative<answer::Refused>(liar.ask(request::Mirror{}).body);
    }));
  }
  request::Forward introduction(const net::SignedRecord& record) const {
    return {.run_key = run.key(), .to = member.place("stage-0"), .record = record, .tokens = {}};
  }

  RunningRelay relay;
  TestRun run{1};
  RelayClient liar{relay.endpoint()};
  RelayClient member{relay.endpoint()};
};

TEST_F(LyingNeighbour, CannotIntroduceWhomTheRunHasNotSigned) {
  const net::PublicKey made_up = key_of(7);
  net::SignedRecord changed = run.record(made_up, "stage-1");
  changed.record.back() ^= std::byte{1};
  EXPECT_EQ(liar.refusal(introduction(changed)), net::Refusal::forged);
  EXPECT_EQ(liar.refusal(introduction(TestRun(2).record(made_up, "stage-1"))), net::Refusal::forged)
      << "a member of another run";
  EXPECT_EQ(liar.refusal(introduction(run.record(member.key(), "stage-0"))),
            net::Refusal::malformed)
      << "itself";
  EXPECT_FALSE(member.push(100ms));
}

TEST_F(LyingNeighbour, SendsTokensForItsOwnDataPortOnly) {
  auto message = introduction(run.record(key_of(7), "stage-1"));
  message.tokens = {{.to = {.peer_key = key_of(7), .role = "stage-1"},
                     .path = 0,
                     .token = "abc",
                     .relay = relay.key().public_key()}};
  liar.ask_for<answer::Forwarded>(message);
  EXPECT_EQ(member.push_of<answer::Introduced>().tokens.at(0).relay, liar.key());
  message.record.reset();
  liar.ask_for<answer::Forwarded>(message);
  EXPECT_EQ(member.push_of<answer::PathToken>().relay, liar.key());
  message.record = run.record(key_of(8), "stage-1");
  EXPECT_EQ(liar.refusal(message), net::Refusal::malformed) << "for another than it introduces";
}

TEST_F(LyingNeighbour, ReachesNobodyWhoIsNotThere) {
  auto message = introduction(run.record(key_of(7), "stage-1"));
  message.to = {.peer_key = key_of(9), .role = "stage-0"};
  EXPECT_EQ(liar.refusal(message), net::Refusal::unknown_peer);
  message.to = member.place("stage-0");
  message.run_key = TestRun(2).key();
  EXPECT_EQ(liar.refusal(message), net::Refusal::unknown_peer);
}

TEST_F(LyingNeighbour, CanDoNothingAsAMember) {
  EXPECT_EQ(liar.refusal(request::LookUp{run.as("stage-0")}), net::Refusal::not_a_member);
  EXPECT_EQ(liar.refusal(request::Survey{}), net::Refusal::not_allowed);
}

}  // namespace
}  // namespace ptrain::relay
