// What members see of a relay, over real sockets.

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include "libcommon/base/error.h"
#include "libcommon/os/file_descriptor.h"
#include "tests/unit/os/temporary_directory.h"
#include "tests/unit/relay/running_relay.h"
#include "tools/relay/inquiry.h"
#include "tools/relay/peer_table.h"

namespace ptrain::relay {
namespace {

using namespace std::chrono_literals;
namespace request = net::request;
namespace answer = net::answer;

struct RelayTest : testing::Test {
  RunningRelay relay;
  TestRun run{1};
  RelayClient a{relay.endpoint()};
  RelayClient b{relay.endpoint()};
};

TEST_F(RelayTest, WhoRegistersIsFoundByTheOthers) {
  const auto granted = a.join(run, "stage-0");
  EXPECT_EQ(granted.lease_ms, 30000u);
  EXPECT_EQ(granted.observed_host, "127.0.0.1");
  const auto later = b.join(run, "stage-1");
  EXPECT_EQ(later.registry_version, granted.registry_version + 1);
  const auto found = a.ask_for<answer::Found>(request::LookUp{run.as("stage-0"), "stage-1"});
  ASSERT_EQ(found.records.size(), 1u);
  EXPECT_EQ(found.records[0], run.record(b.key(), "stage-1"));
  EXPECT_TRUE(found.complete);
  EXPECT_EQ(found.registry_version, later.registry_version);
}

TEST_F(RelayTest, WatchersHearOfWhoComesChangesAndGoes) {
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
  a.ask_for<answer::Granted>(request::Watch{run.as("stage-0"), false});
  b.join(run, "stage-1", 3);
  b.ask_for<answer::Granted>(request::Renew{run.as("stage-1")});
  a.ask_for<answer::Granted>(request::Renew{run.as("stage-0")});
  EXPECT_FALSE(a.push(0ms));
}

TEST_F(RelayTest, BothSidesOfAnIntroductionGetRecordAndTokens) {
  a.join(run, "stage-0");
  b.join(run, "stage-1");
  const auto to_a = a.ask_for<answer::Introduced>(
      request::Introduce{.as = run.as("stage-0"), .to = b.place("stage-1"), .paths = 2});
  const auto to_b = b.push_of<answer::Introduced>();
  EXPECT_TRUE(to_a.asker);
  EXPECT_FALSE(to_b.asker);
  EXPECT_EQ(to_a.record, run.record(b.key(), "stage-1"));
  EXPECT_EQ(to_b.record, run.record(a.key(), "stage-0"));
  EXPECT_EQ(to_a.start_ms, kIntroductionLeadMs);
  ASSERT_EQ(to_a.tokens.size(), 2u);
  ASSERT_EQ(to_b.tokens.size(), 2u);
  std::set<std::string> tokens;
  for (std::uint8_t path = 0; path < 2; ++path) {
    EXPECT_EQ(to_a.tokens[path].path, path);
    EXPECT_EQ(to_a.tokens[path].to, b.place("stage-1"));
    EXPECT_EQ(to_b.tokens[path].to, a.place("stage-0"));
    tokens.insert(to_a.tokens[path].token);
    tokens.insert(to_b.tokens[path].token);
    const auto ours = relay.desk.redeem(to_a.tokens[path].token, {});
    const auto theirs = relay.desk.redeem(to_b.tokens[path].token, {});
    ASSERT_TRUE(ours && theirs);
    EXPECT_EQ(ours->pairing, theirs->pairing) << "they meet";
    EXPECT_EQ(ours->owner(), a.place("stage-0"));
    EXPECT_EQ(theirs->owner(), b.place("stage-1"));
  }
  EXPECT_EQ(tokens.size(), 4u);
}

TEST_F(RelayTest, ATokenThatWasUsedIsReplaced) {
  a.join(run, "stage-0");
  b.join(run, "stage-1");
  const auto introduced = a.ask_for<answer::Introduced>(
      request::Introduce{.as = run.as("stage-0"), .to = b.place("stage-1")});
  ASSERT_TRUE(relay.desk.redeem(introduced.tokens.at(0).token, {}));
  const auto fresh = a.push_of<answer::PathToken>();
  EXPECT_EQ(fresh.to, b.place("stage-1"));
  EXPECT_EQ(fresh.path, 0);
  EXPECT_NE(fresh.token, introduced.tokens[0].token);
}

TEST_F(RelayTest, NobodyIsIntroducedToWhoIsNotThere) {
  a.join(run, "stage-0");
  const net::Membership as = run.as("stage-0");
  EXPECT_EQ(a.refusal(request::Introduce{as, b.place("stage-1"), 1}), net::Refusal::unknown_peer);
  EXPECT_EQ(a.refusal(request::Introduce{as, a.place("stage-0"), 1}), net::Refusal::unknown_peer);
}

TEST_F(RelayTest, AHostMayHoldSeveralRoles) {
  a.join(run, "stage-0");
  a.join(run, "stage-1");
  const auto introduced = a.ask_for<answer::Introduced>(
      request::Introduce{.as = run.as("stage-0"), .to = a.place("stage-1")});
  EXPECT_EQ(introduced.record, run.record(a.key(), "stage-1"));
  EXPECT_EQ(a.push_of<answer::Introduced>().record, run.record(a.key(), "stage-0"));
}

TEST_F(RelayTest, AnOlderRegistrationIsOutdated) {
  a.join(run, "stage-0", 2);
  EXPECT_EQ(a.refusal(request::Register{run.record(a.key(), "stage-0", 1)}),
            net::Refusal::outdated);
}

TEST_F(RelayTest, AReconnectedMemberIsTheSameMember) {
  const net::KeyPair key = net::KeyPair::generate();
  {
    RelayClient first(relay.endpoint(), {.key = key});
    first.join(run, "stage-1");
  }
  a.join(run, "stage-0");
  RelayClient second(relay.endpoint(), {.key = key});
  second.ask_for<answer::Granted>(request::Renew{run.as("stage-1")});
  a.ask_for<answer::Introduced>(request::Introduce{run.as("stage-0"), second.place("stage-1"), 1});
  EXPECT_EQ(second.push_of<answer::Introduced>().record, run.record(a.key(), "stage-0"));
}

TEST_F(RelayTest, WhoLeavesLosesItsTokens) {
  a.join(run, "stage-0");
  a.ask_for<answer::Left>(request::Leave{run.as("stage-0")});
  EXPECT_TRUE(relay.was_revoked(run.key(), a.place("stage-0")));
  EXPECT_EQ(a.refusal(request::Renew{run.as("stage-0")}), net::Refusal::not_a_member);
}

TEST(RelayLease, WhoDoesNotRenewIsGone) {
  RunningRelay relay({.limits = {.lease = 5s}});
  const TestRun run(1);
  RelayClient a(relay.endpoint());
  RelayClient b(relay.endpoint());
  b.join(run, "stage-1");
  a.join(run, "stage-0");
  a.ask_for<answer::Granted>(request::Watch{run.as("stage-0")});
  // b says no more; a renews until it has heard, unless the machine stood still for so long.
  std::optional<net::Answer> heard;
  for (int i = 0; i < 200 && !heard; ++i) {
    a.ask(request::Renew{run.as("stage-0")});
    heard = a.push(100ms);
  }
  ASSERT_TRUE(heard);
  EXPECT_EQ(std::get<answer::Departed>(heard->body).who, b.place("stage-1"));
  EXPECT_TRUE(relay.was_revoked(run.key(), b.place("stage-1")));
}

TEST(RelayState, ARestartForgetsNobody) {
  const os::TemporaryDirectory folder;
  const TestRun run(1);
  const net::KeyPair key = net::KeyPair::generate();
  const net::KeyPair stays = net::KeyPair::generate();
  std::uint64_t version = 0;
  {
    RunningRelay relay({.state = folder.path(), .key = key});
    RelayClient client(relay.endpoint(), {.key = stays});
    version = client.join(run, "stage-0").registry_version;
  }
  RunningRelay relay({.state = folder.path(), .key = key});
  RelayClient other(relay.endpoint());
  const auto granted = other.join(run, "stage-1");
  EXPECT_GT(granted.registry_version, version);
  const auto found = other.ask_for<answer::Found>(request::LookUp{run.as("stage-1")});
  EXPECT_EQ(found.records.size(), 2u);
  // It is known, and cannot be told of anyone before it has come back.
  const net::Place who{.peer_key = stays.public_key(), .role = "stage-0"};
  const auto absent = other.ask_for<answer::Refused>(request::Introduce{run.as("stage-1"), who, 1});
  EXPECT_EQ(absent.reason, net::Refusal::unknown_peer);
  EXPECT_EQ(absent.retry_ms, kAbsentRetryMs);
  EXPECT_FALSE(absent.absent) << "the relay was away, the peer perhaps not";
  RelayClient back(relay.endpoint(), {.key = stays});
  back.ask_for<answer::Granted>(request::Renew{run.as("stage-0")});
  other.ask_for<answer::Introduced>(request::Introduce{run.as("stage-1"), who, 1});
  EXPECT_FALSE(back.push_of<answer::Introduced>().asker);
}

TEST_F(RelayTest, EveryoneIsToldOfTheEndOnce) {
  a.join(run, "stage-0");
  a.join(run, "stage-1");
  b.join(run, "stage-2");
  relay.stop();
  a.push_of<answer::Farewell>();
  b.push_of<answer::Farewell>();
  EXPECT_FALSE(a.push(0ms));
}

TEST_F(RelayTest, TheOperatorAndNobodyElseSeesEverything) {
  a.join(run, "stage-0");
  a.ask_for<answer::Granted>(request::Renew{run.as("stage-0"), "relay"});
  b.join(TestRun(2), "stage-0");
  EXPECT_EQ(a.refusal(request::Survey{}), net::Refusal::not_allowed);
  RelayClient chief(relay.endpoint(), {.key = relay.key()});
  const auto peers = chief.ask_for<answer::Surveyed>(request::Survey{});
  ASSERT_EQ(peers.lines.size(), 2u);
  EXPECT_THAT(peers.lines[0] + peers.lines[1], testing::HasSubstr(R"("note":"relay")"));
  const auto runs = chief.ask_for<answer::Surveyed>(request::Survey{request::Subject::runs});
  EXPECT_EQ(runs.lines.size(), 2u);
  const auto totals = chief.ask_for<answer::Surveyed>(request::Survey{request::Subject::totals});
  EXPECT_THAT(totals.lines.at(0), testing::HasSubstr(R"("registrations":2)"));
}

TEST_F(RelayTest, TheOperatorSeesWhoHasLeftUntilTheyComeBack) {
  RelayClient chief(relay.endpoint(), {.key = relay.key()});
  a.join(run, "stage-0");
  a.ask_for<answer::Left>(request::Leave{run.as("stage-0")});
  const auto gone = chief.ask_for<answer::Surveyed>(request::Survey{});
  ASSERT_EQ(gone.lines.size(), 1u);
  EXPECT_THAT(gone.lines[0], testing::AllOf(testing::HasSubstr(R"("kind":"gone")"),
                                            testing::HasSubstr(R"("role":"stage-0")"),
                                            testing::HasSubstr(R"("host":"127.0.0.1")"),
                                            testing::HasSubstr(R"("how":"left")"),
                                            testing::HasSubstr(R"("since":"20)")));
  EXPECT_THAT(peer_table(gone.lines).at(1), testing::HasSubstr("(gone since 20"));
  a.join(run, "stage-0", 2);
  const auto back = chief.ask_for<answer::Surveyed>(request::Survey{});
  ASSERT_EQ(back.lines.size(), 1u);
  EXPECT_THAT(back.lines[0], testing::HasSubstr(R"("kind":"peer")"));
}

// What an operator's command does where no relay is, or none that serves us.
struct InquiryTest : testing::Test {
  net::KeyPair key = net::KeyPair::generate();
  SteadyClock clock;

  // Its kind and text; how long it took is checked against what a person waits for.
  Error failure_at(net::Endpoint endpoint, Duration limit) {
    if (!endpoint.key) endpoint.key = net::KeyPair::generate().public_key();
    const TimePoint begun = clock.now();
    try {
      Inquiry(endpoint, key).ask(request::Survey{});
    } catch (const Error& error) {
      EXPECT_LT(clock.now() - begun, limit);
      return error;
    }
    return Error(ErrorKind::internal, "it was answered");
  }
};

TEST_F(InquiryTest, NobodyAtTheAddressIsKnownAtOnce) {
  const Error error = failure_at(net::parse_endpoint("tcp://127.0.0.1:1"), kInquiryTimeout);
  EXPECT_EQ(error.kind(), ErrorKind::unavailable);
  EXPECT_THAT(error.what(), testing::HasSubstr("at tcp://127.0.0.1:1: connection refused"));
}

TEST_F(InquiryTest, WhatDoesNotSpeakIsNoRelay) {
  // Its kernel accepts connections, and nobody reads them.
  const os::FileDescriptor mute(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(::bind(mute.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(::listen(mute.get(), 8), 0);
  ASSERT_EQ(::getsockname(mute.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  net::Endpoint endpoint = net::parse_endpoint("tcp://127.0.0.1:1");
  endpoint.port = ntohs(address.sin_port);
  const Error error = failure_at(endpoint, kInquiryTimeout);
  EXPECT_EQ(error.kind(), ErrorKind::unavailable);
  EXPECT_THAT(error.what(), testing::HasSubstr("does not answer as one"));
}

TEST_F(InquiryTest, ARelayWithAnotherKeyIsNotTheOneThatIsMeant) {
  RunningRelay relay;
  net::Endpoint endpoint = relay.endpoint();
  endpoint.key = net::KeyPair::generate().public_key();
  const Error error = failure_at(endpoint, kInquiryTimeout);
  EXPECT_EQ(error.kind(), ErrorKind::unavailable);
  EXPECT_THAT(error.what(), testing::HasSubstr(net::to_hex(*endpoint.key)));
}

TEST_F(InquiryTest, ARefusedKeyIsNamedAtOnceWithWhatWouldLetItIn) {
  AccessRules rules;
  rules.peers.emplace();
  RunningRelay relay({.rules = rules});
  const Error error = failure_at(relay.endpoint(), kInquiryTimeout);
  EXPECT_EQ(error.kind(), ErrorKind::permission);
  const std::string own = net::to_hex(key.public_key());
  EXPECT_THAT(error.what(), testing::HasSubstr("does not serve our key " + own));
  EXPECT_THAT(error.hint(), testing::HasSubstr("--allow-peer " + own));
}

TEST(RelayAccess, WhoIsNotAllowedDoesNotGetIn) {
  const net::KeyPair friendly = net::KeyPair::generate();
  AccessRules rules;
  rules.peers.emplace().insert(friendly.public_key());
  RunningRelay relay({.rules = rules});
  const TestRun run(1);
  RelayClient member(relay.endpoint(), {.key = friendly});
  RelayClient foreign(relay.endpoint());
  foreign.send(request::Register{run.record(foreign.key(), "stage-0")});
  member.join(run, "stage-0");
  EXPECT_FALSE(foreign.receive(200ms));
  EXPECT_EQ(member.ask_for<answer::Found>(request::LookUp{run.as("stage-0")}).records.size(), 1u);
}

TEST(RelayAccess, ARevokedKeyStopsWorkingAtOnce) {
  RunningRelay relay;
  const TestRun run(1);
  RelayClient kept(relay.endpoint());
  RelayClient dropped(relay.endpoint());
  kept.join(run, "stage-0");
  dropped.join(run, "stage-1");
  kept.ask_for<answer::Granted>(request::Watch{run.as("stage-0")});
  AccessRules rules;
  rules.peers.emplace().insert(kept.key());
  relay.set_rules(rules);
  EXPECT_EQ(kept.push_of<answer::Departed>().who, dropped.place("stage-1"));
  EXPECT_TRUE(relay.was_revoked(run.key(), dropped.place("stage-1")));
  EXPECT_EQ(dropped.refusal(request::Register{run.record(dropped.key(), "stage-1", 2)}),
            net::Refusal::not_allowed);
}

TEST(RelayAccess, ARunThatIsNotServedIsRefused) {
  const TestRun served(1);
  const TestRun unknown(2);
  AccessRules rules;
  rules.runs.emplace().insert(net::RunId(served.key()));
  RunningRelay relay({.rules = rules});
  RelayClient client(relay.endpoint());
  client.join(served, "stage-0");
  EXPECT_EQ(client.refusal(request::Register{unknown.record(client.key(), "stage-0")}),
            net::Refusal::not_a_member);
}

TEST(RelayRegistry, ALargeRunIsReadInPages) {
  RunningRelay relay;
  const TestRun run(1);
  std::vector<std::unique_ptr<RelayClient>> clients;
  for (int i = 0; i < 4; ++i) {
    clients.push_back(std::make_unique<RelayClient>(
        relay.endpoint(), ClientOptions{.source = "127.0.0." + std::to_string(2 + i)}));
    for (std::size_t role = 0; role < kMaxPlacesPerKey; ++role) {
      clients.back()->join(run, "stage-" + std::to_string(role));
    }
  }
  std::size_t seen = 0;
  int pages = 0;
  net::Place after;
  for (bool complete = false; !complete; ++pages) {
    const auto found = clients[0]->ask_for<answer::Found>(
        request::LookUp{.as = run.as("stage-0"), .after = after});
    seen += found.records.size();
    complete = found.complete;
    const auto last = std::get<net::PeerRecord>(net::open(found.records.back()));
    after = {.peer_key = last.peer_key, .role = last.role};
  }
  EXPECT_EQ(seen, 4 * kMaxPlacesPerKey);
  EXPECT_GT(pages, 1);
}

}  // namespace
}  // namespace ptrain::relay
