// What the relay does about requests that concern its neighbours: values in, values out.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libcommon/net/relay_codec.h"
#include "tests/unit/relay/run_of_members.h"
#include "tools/relay/control/request_handler.h"

namespace ptrain::relay {
namespace {

using namespace std::chrono_literals;
namespace request = net::request;
namespace answer = net::answer;

struct GossipRequests : testing::Test {
  GossipRequests() {
    net::TicketRelay relay{.control = net::parse_endpoint("tcp://192.0.2.1:7100"),
                           .data_port = 7101};
    relay.control.key = kNeighbour;
    rules.neighbours.push_back(relay);
    registry.mirror(kNeighbour, run.opened(key_of(2), "b"), run.record(key_of(2), "b"));
    join(1);
  }
  void join(std::uint8_t peer) {
    registry.enrol(run.opened(key_of(peer), "a"), run.record(key_of(peer), "a"), connection(peer),
                   host(peer), now);
  }
  static std::string host(std::uint8_t peer) { return "192.0.2." + std::to_string(peer); }
  static ConnectionId connection(std::uint8_t peer) { return "c" + std::to_string(peer); }
  Sender sender(std::uint8_t peer) const {
    return {.key = key_of(peer), .connection = connection(peer), .host = host(peer)};
  }
  std::vector<Outgoing> introduce(std::uint8_t asker = 1) {
    return handler.handle(
        sender(asker),
        {.id = ++ids,
         .body = request::Introduce{run.as("a"), {.peer_key = key_of(2), .role = "b"}, 2}},
        now);
  }
  std::vector<Outgoing> mirror(std::uint64_t since, std::uint32_t hold_ms) {
    return handler.handle(
        {.key = kNeighbour, .connection = "n", .host = "h"},
        {.id = ++ids, .body = request::Mirror{.since = since, .hold_ms = hold_ms}}, now);
  }
  template <class Body>
  static Body only(const std::vector<Outgoing>& answers) {
    EXPECT_EQ(answers.size(), 1u);
    return std::get<Body>(answers.at(0).answer.body);
  }

  static inline const net::PublicKey kNeighbour = key_of(100);

  TimePoint now{1h};
  TestRun run{1};
  Registry registry{{.lease = 30s}, 1000};
  SystemRandom random;
  TokenDesk desk{{}, random};
  AccessRules rules;
  bool connected = true;
  bool takes = true;
  std::vector<std::pair<std::uint64_t, request::Forward>> forwarded;
  std::uint64_t ids = 0;
  RequestHandler handler{
      {.relay_key = key_of(200),
       .forward_to =
           [this](const net::PublicKey& neighbour, std::uint64_t number,
                  const request::Forward& message) {
             EXPECT_EQ(neighbour, kNeighbour);
             if (takes) forwarded.emplace_back(number, message);
             return takes;
           },
       .neighbours =
           [this] {
             return std::vector<NeighbourState>{
                 {.key = kNeighbour, .name = "n", .connected = connected, .members = 1}};
           }},
      registry,
      desk,
      rules,
      now};
};

TEST_F(GossipRequests, WhoAsksIsAnsweredWhenTheOtherSideHasBeenTold) {
  EXPECT_TRUE(introduce().empty());
  ASSERT_EQ(forwarded.size(), 1u);
  const auto& [number, message] = forwarded[0];
  EXPECT_EQ(message.record, run.record(key_of(1), "a"));
  EXPECT_EQ(message.tokens.size(), 2u);
  const auto answers = handler.forwarded(number, Delivery::made);
  const auto introduced = only<answer::Introduced>(answers);
  EXPECT_EQ(answers[0].to, connection(1));
  EXPECT_EQ(answers[0].answer.id, ids);
  EXPECT_EQ(introduced.record, run.record(key_of(2), "b"));
  EXPECT_EQ(introduced.tokens.size(), 2u);
  EXPECT_TRUE(handler.forwarded(number, Delivery::made).empty()) << "once";
}

TEST_F(GossipRequests, WhoAsksIsToldThatTheOtherSideCannotBe) {
  introduce();
  const auto refused =
      only<answer::Refused>(handler.forwarded(forwarded[0].first, Delivery::failed));
  EXPECT_EQ(refused.reason, net::Refusal::unknown_peer);
  EXPECT_EQ(refused.retry_ms, kAbsentRetryMs);
  EXPECT_FALSE(refused.absent) << "who cannot be told may be there";
}

TEST_F(GossipRequests, WhoAsksIsToldThatTheNeighbourHasSeenTheOtherSideEnd) {
  introduce();
  const auto refused =
      only<answer::Refused>(handler.forwarded(forwarded[0].first, Delivery::absent));
  EXPECT_EQ(refused.reason, net::Refusal::unknown_peer);
  EXPECT_TRUE(refused.absent);
}

TEST_F(GossipRequests, ANeighbourThatDoesNotAnswerIsWaitedForNoLonger) {
  introduce();
  EXPECT_TRUE(handler.expire(now + kForwardTimeout - 1ms).empty());
  EXPECT_EQ(only<answer::Refused>(handler.expire(now + kForwardTimeout)).retry_ms, kAbsentRetryMs);
  EXPECT_TRUE(handler.forwarded(forwarded[0].first, Delivery::made).empty()) << "too late";
}

TEST_F(GossipRequests, ForANeighbourThatIsAwayNoTokensAreIssued) {
  connected = false;
  const auto refused = only<answer::Refused>(introduce());
  EXPECT_EQ(refused.retry_ms, kAbsentRetryMs);
  EXPECT_FALSE(refused.absent) << "with its relay, the peer is not gone";
  EXPECT_EQ(desk.valid_tokens(), 0u);
  connected = true;
  takes = false;  // it has too much to do
  EXPECT_EQ(only<answer::Refused>(introduce()).retry_ms, kAbsentRetryMs);
}

TEST_F(GossipRequests, SoManyIntroductionsOfOneAddressWaitAndNoMore) {
  for (std::size_t i = 0; i < kMaxIntroductionsUnderWayOfAddress; ++i) {
    ASSERT_TRUE(introduce().empty()) << i;
  }
  only<answer::Refused>(introduce());
  join(3);
  EXPECT_TRUE(introduce(3).empty());
}

TEST_F(GossipRequests, SoManyIntroductionsWaitAndNoMore) {
  for (std::size_t i = 0; i < kMaxIntroductionsUnderWay; ++i) {
    const auto asker = static_cast<std::uint8_t>(3 + i % 64);
    if (i < 64) join(asker);
    ASSERT_TRUE(introduce(asker).empty()) << i;
  }
  only<answer::Refused>(introduce());
  handler.forwarded(forwarded[0].first, Delivery::made);
  EXPECT_TRUE(introduce().empty());
}

TEST_F(GossipRequests, AFreshTokenForWhoIsElsewhereGoesThere) {
  introduce();
  const auto first = forwarded[0].second.tokens[0];
  ASSERT_TRUE(desk.redeem(first.token, now));
  EXPECT_TRUE(handler.replace_spent(now).empty());
  ASSERT_EQ(forwarded.size(), 2u);
  EXPECT_EQ(forwarded[1].first, 0u) << "nobody waits for it";
  EXPECT_FALSE(forwarded[1].second.record);
  ASSERT_EQ(forwarded[1].second.tokens.size(), 1u);
  EXPECT_NE(forwarded[1].second.tokens[0].token, first.token);
}

TEST_F(GossipRequests, TokensAreVoidWhenTheNeighbourSaysThatTheOtherSideHasLeft) {
  introduce();
  EXPECT_EQ(desk.valid_tokens(), 4u);
  const net::Place who{.peer_key = key_of(2), .role = "b"};
  handler.propagate(registry.set_silent(kNeighbour, true), {});
  EXPECT_EQ(desk.valid_tokens(), 4u) << "its silence says nothing";
  handler.propagate({}, {*registry.unmirror(kNeighbour, run.key(), who)});
  EXPECT_EQ(desk.valid_tokens(), 0u);
}

TEST_F(GossipRequests, ANeighbourWaitsForAChangeAndNotForEver) {
  EXPECT_TRUE(mirror(0, 5000).empty());
  const auto all = only<answer::Mirrored>(handler.answer_mirrors(now));
  EXPECT_EQ(all.records.size(), 1u);
  mirror(all.up_to, 5000);
  EXPECT_TRUE(handler.answer_mirrors(now + 4999ms).empty());
  EXPECT_TRUE(only<answer::Mirrored>(handler.answer_mirrors(now + 5s)).records.empty());
  EXPECT_TRUE(handler.answer_mirrors(now + 10s).empty()) << "it is answered once";
  mirror(all.up_to, 3'600'000);
  join(9);
  EXPECT_EQ(only<answer::Mirrored>(handler.answer_mirrors(now)).records.size(), 1u);
  mirror(registry.changes_since({}, 100000).up_to, 3'600'000);
  EXPECT_EQ(handler.answer_mirrors(now + kMaxMirrorHold).size(), 1u);
}

TEST_F(GossipRequests, WhoIsNoNeighbourAnyMoreIsNotAnswered) {
  mirror(0, 5000);
  rules.neighbours.clear();
  EXPECT_TRUE(handler.answer_mirrors(now).empty());
  EXPECT_EQ(only<answer::Refused>(mirror(0, 5000)).reason, net::Refusal::not_allowed);
}

}  // namespace
}  // namespace ptrain::relay
