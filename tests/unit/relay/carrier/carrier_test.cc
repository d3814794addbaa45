#include "tools/relay/carrier/carrier.h"

#include <vector>

#include <gmock/gmock.h>

#include "tests/unit/relay/carrier/carrier_client.h"

namespace ptrain::relay {
namespace {

using std::chrono::milliseconds;
using ::testing::UnorderedElementsAre;

TEST_F(CarrierTest, JoinsTheTwoSidesOfAPairing) {
  start();
  auto [low, high] = joined(1, 2);
  expect_carries(low, high);
}

TEST_F(CarrierTest, EitherSideMayComeFirst) {
  start();
  auto [high, low] = joined(2, 1);
  expect_carries(low, high);
}

TEST_F(CarrierTest, TheNameMayBeTheBareToken) {
  start();
  Client low = client();
  low.ask(token(seat_of(1, 2)));
  Client high = arrived(seat_of(2, 1));
  EXPECT_EQ(low.answer(), SocksReply::succeeded);
  EXPECT_EQ(high.answer(), SocksReply::succeeded);
}

TEST_F(CarrierTest, NobodyIsToldOfSuccessBeforeThePartnerIsThere) {
  start();
  Client low = arrived(seat_of(1, 2));
  ASSERT_TRUE(comes_true([&] { return carrier_->totals().waiting == 1; }));
  EXPECT_FALSE(low.has_something());
  Client high = arrived(seat_of(2, 1));
  EXPECT_EQ(low.answer(), SocksReply::succeeded);
  EXPECT_EQ(carrier_->totals().streams, 1u);
}

TEST_F(CarrierTest, WhatAnEagerClientSendsBeforeTheAnswerReachesItsPartner) {
  start();
  Client low = client();
  low.send(kGreeting + connect_request(token(seat_of(1, 2))) + "hello");
  Client high = arrived(seat_of(2, 1));
  EXPECT_EQ(high.answer(), SocksReply::succeeded);
  EXPECT_EQ(high.receive(5), "hello");
}

TEST_F(CarrierTest, CarriesManyMegabytesBothWaysAtOnceBitForBit) {
  start();
  auto [low, high] = joined(1, 2);
  constexpr std::size_t kBytes = 48 << 20;
  const std::string up = random_bytes(kBytes, 1);
  const std::string down = random_bytes(kBytes, 2);
  std::thread send_up([&, one = &low] { one->send(up); });
  std::thread send_down([&, one = &high] { one->send(down); });
  std::string arrived_down;
  std::thread receive_down([&, one = &low] { arrived_down = one->receive(kBytes); });
  const std::string arrived_up = high.receive(kBytes);
  for (std::thread* thread : {&send_up, &send_down, &receive_down}) thread->join();
  EXPECT_TRUE(arrived_up == up);
  EXPECT_TRUE(arrived_down == down);
}

TEST_F(CarrierTest, PathsOfTheSamePairAreStreamsOfTheirOwn) {
  start();
  auto [low0, high0] = joined(1, 2, 0);
  auto [low1, high1] = joined(1, 2, 1);
  low1.send("one");
  low0.send("zero");
  EXPECT_EQ(high0.receive(4), "zero");
  EXPECT_EQ(high1.receive(3), "one");
}

TEST_F(CarrierTest, AHalfCloseIsPassedOnAndTheOtherWayStaysOpen) {
  start();
  auto [low, high] = joined(1, 2);
  low.send("last words");
  low.end();
  EXPECT_EQ(high.receive(100), "last words");
  EXPECT_TRUE(high.send("an answer"));
  EXPECT_EQ(low.receive(9), "an answer");
  high.end();
  EXPECT_TRUE(low.is_ended());
  EXPECT_TRUE(comes_true([&] { return carrier_->totals().streams == 0; }));
}

TEST_F(CarrierTest, ASideThatVanishesEndsTheStream) {
  start();
  auto [low, high] = joined(1, 2);
  low.close();
  EXPECT_TRUE(high.is_ended());
  high.close();
  EXPECT_TRUE(comes_true([&] { return carrier_->totals().streams == 0; }));
}

TEST_F(CarrierTest, ASideThatComesAnewEndsTheOldStreamAndWaits) {
  start();
  auto [low, high] = joined(1, 2);
  Client low_again = arrived(seat_of(1, 2));
  EXPECT_TRUE(low.is_ended());
  EXPECT_TRUE(high.is_ended());
  Client high_again = arrived(seat_of(2, 1));
  EXPECT_EQ(low_again.answer(), SocksReply::succeeded);
  EXPECT_EQ(high_again.answer(), SocksReply::succeeded);
  expect_carries(low_again, high_again);
  EXPECT_EQ(carrier_->totals().replaced, 2u);
}

TEST_F(CarrierTest, ASideThatWaitsIsReplacedByItself) {
  start();
  Client low = arrived(seat_of(1, 2));
  ASSERT_TRUE(comes_true([&] { return carrier_->totals().waiting == 1; }));
  Client low_again = arrived(seat_of(1, 2));
  EXPECT_EQ(low.answer(), SocksReply::host_unreachable);
  Client high = arrived(seat_of(2, 1));
  EXPECT_EQ(low_again.answer(), SocksReply::succeeded);
}

TEST_F(CarrierTest, ASideThatGivesUpWaitingIsNotJoined) {
  start();
  {
    Client low = arrived(seat_of(1, 2));
    ASSERT_TRUE(comes_true([&] { return carrier_->totals().waiting == 1; }));
  }
  ASSERT_TRUE(comes_true([&] { return carrier_->totals().waiting == 0; }));
  Client high = arrived(seat_of(2, 1));
  ASSERT_TRUE(comes_true([&] { return carrier_->totals().waiting == 1; }));
  Client low_again = arrived(seat_of(1, 2));
  EXPECT_EQ(high.answer(), SocksReply::succeeded);
}

TEST_F(CarrierTest, WhoeverWaitsTooLongIsToldThatNobodyCame) {
  start({.streams = {.wait_for_partner = milliseconds(50)}});
  Client low = arrived(seat_of(1, 2));
  EXPECT_EQ(low.answer(), SocksReply::host_unreachable);
  EXPECT_TRUE(low.is_ended());
  EXPECT_EQ(carrier_->totals().timed_out, 1u);
}

TEST_F(CarrierTest, AnIdleStreamEnds) {
  start({.streams = {.idle = milliseconds(50)}});
  auto [low, high] = joined(1, 2);
  EXPECT_TRUE(low.is_ended());
  EXPECT_TRUE(high.is_ended());
}

TEST_F(CarrierTest, AStreamEndsWhenItsLifeIsOverHoweverBusy) {
  start({.streams = {.life = milliseconds(200)}});
  auto [low, high] = joined(1, 2);
  while (low.send("x") && high.receive(1) == "x") {
  }
  EXPECT_TRUE(comes_true([&] { return carrier_->totals().streams == 0; }));
}

TEST_F(CarrierTest, ALeaseThatEndsCutsTheStreamsOfItsMemberAndNoOthers) {
  start();
  auto [low, high] = joined(1, 2);
  auto [other_low, other_high] = joined(2, 3);
  Client waiting = arrived(seat_of(1, 4));
  ASSERT_TRUE(comes_true([&] { return carrier_->totals().waiting == 1; }));
  desk_.revoke(run_of(1), place_of(1));
  EXPECT_TRUE(low.is_ended());
  EXPECT_TRUE(high.is_ended());
  EXPECT_EQ(waiting.answer(), SocksReply::host_unreachable);
  expect_carries(other_low, other_high);
  EXPECT_EQ(carrier_->totals().revoked, 3u);
}

TEST_F(CarrierTest, CountsWhatEachPeerSent) {
  start();
  auto [low, high] = joined(1, 2);
  low.send(std::string(1000, 'x'));
  high.receive(1000);
  high.send("0123456789");
  low.receive(10);
  EXPECT_TRUE(comes_true([&] { return carrier_->totals().bytes == 1010; }));
  EXPECT_THAT(carrier_->traffic(),
              UnorderedElementsAre(PeerTraffic{place_of(1).peer_key, 1, ByteCount(1000)},
                                   PeerTraffic{place_of(2).peer_key, 1, ByteCount(10)}));
  EXPECT_EQ(carrier_->traffic_of(place_of(2).peer_key)->sent, ByteCount(10));
  EXPECT_FALSE(carrier_->traffic_of(place_of(3).peer_key));
}

TEST_F(CarrierTest, APeerSendsNoFasterThanItsRate) {
  constexpr std::uint64_t kRate = 2'000'000;
  start({.peers = {.bytes_per_s_per_peer = ByteCount(kRate)}});
  auto [low, high] = joined(1, 2);
  const auto begin = std::chrono::steady_clock::now();
  const std::string sent = random_bytes(kRate, 1);
  std::thread sender([&, one = &low] { one->send(sent); });
  EXPECT_TRUE(high.receive(sent.size()) == sent);
  sender.join();
  // The last turn may be overdrawn by what one turn moves.
  EXPECT_GE(seconds(std::chrono::steady_clock::now() - begin),
            1.0 - static_cast<double>(kTurnBytes + kPipeBytes) / kRate);
}

TEST_F(CarrierTest, StoppingLetsStreamsEndByThemselves) {
  start();
  auto [low, high] = joined(1, 2);
  Client waiting = arrived(seat_of(1, 3));
  ASSERT_TRUE(comes_true([&] { return carrier_->totals().waiting == 1; }));
  std::thread stopper([&] { EXPECT_TRUE(carrier_->stop(kPatience)); });
  EXPECT_EQ(waiting.answer(), SocksReply::host_unreachable);
  expect_carries(low, high);
  low.end();
  high.end();
  stopper.join();
}

TEST_F(CarrierTest, StoppingCutsWhatIsThereWhenTheTimeIsOver) {
  start();
  auto [low, high] = joined(1, 2);
  EXPECT_FALSE(carrier_->stop(milliseconds(1)));
  EXPECT_TRUE(low.is_ended());
  EXPECT_THROW(client(), Error);
}

TEST_F(CarrierTest, APortThatIsTakenIsAnError) {
  start();
  EXPECT_THROW(Carrier({.host = "127.0.0.1", .port = carrier_->port()}, desk_, log_, clock_),
               Error);
  EXPECT_THROW(Carrier({.host = "nowhere.invalid"}, desk_, log_, clock_), Error);
}

}  // namespace
}  // namespace ptrain::relay
