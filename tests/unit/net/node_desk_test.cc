// In which order a node's desk tells what its loop has found out, whenever somebody asks.

#include "libcommon/net/node_desk.h"

#include <gtest/gtest.h>

#include "libcommon/net/credit.h"
#include "tests/unit/net/messages.h"

namespace ptrain::net {
namespace {

using namespace std::chrono_literals;

constexpr PeerHandle kPeer{7};
constexpr PeerHandle kOther{8};
constexpr auto kUrgency = wire::Urgency::pipeline;

class NodeDeskTest : public testing::Test {
 protected:
  NodeDeskTest() {
    desk.add(peer, kPeer);
    desk.add(other, kOther);
  }
  void publish_open(PeerHandle handle) {
    PeerStatus status;
    status.state = Session::State::open;
    desk.published(handle, status);
  }
  void publish_loss(Loss loss) {
    PeerStatus status;
    status.state = Session::State::failed;
    status.failure.emplace(ErrorKind::unavailable, "it is lost");
    status.loss = loss;
    desk.published(kPeer, status);
  }
  void deliver(PeerHandle from, std::uint64_t number) {
    desk.delivered(from, kUrgency, test_message(0, number, 100));
  }
  bool send() { return desk.send(peer, kUrgency, test_message(0, 0, 100), 0); }
  template <class Event>
  Event next() {
    return std::get<Event>(desk.next(0s).value());
  }

  const WorkerId peer{.key = std::nullopt, .name = "peer"};
  const WorkerId other{.key = std::nullopt, .name = "other"};
  NodeDesk desk{{.queue = 1u << 20, .queues = 1u << 20, .wake_after = 1, .low_water = 0}, [] {}};
};

TEST_F(NodeDeskTest, ASuccessorIsUpAfterItsPredecessorsLossWasTold) {
  publish_open(kPeer);
  deliver(kPeer, 1);
  publish_loss(Loss::restarted);
  publish_open(kPeer);
  deliver(kPeer, 2);
  next<Up>();
  EXPECT_TRUE(holds(next<Delivery>().message, test_message(0, 1, 100)));
  EXPECT_EQ(next<Down>().why, Loss::restarted);
  next<Up>();
  EXPECT_TRUE(holds(next<Delivery>().message, test_message(0, 2, 100)));
  EXPECT_FALSE(desk.next(0s));
}

// What waits for one that never reads leaves each of the others its share.
TEST_F(NodeDeskTest, WhatWaitsForAllIsBoundedAndEachHasItsShare) {
  NodeDesk full({.queue = 8 * kQueueShare, .queues = 4 * kQueueShare, .wake_after = 1}, [] {});
  full.add(peer, kPeer);
  full.add(other, kOther);
  const auto fill = [&](const WorkerId& to) {
    std::size_t sent = 0;
    while (full.send(to, kUrgency, test_message(0, sent, kQueueShare / 4), 0)) ++sent;
    return sent;
  };
  EXPECT_EQ(fill(peer), 15u) << "a message costs a little more than its bytes";
  EXPECT_EQ(fill(other), 3u);
}

TEST_F(NodeDeskTest, WhoWasRefusedForTheOthersSakeIsToldWhenThereIsRoom) {
  constexpr std::uint64_t kLowWater = 2 * kQueueShare;
  NodeDesk full({.queue = 8 * kQueueShare,
                 .queues = 3 * kQueueShare,
                 .wake_after = 1,
                 .low_water = kLowWater},
                [] {});
  full.add(peer, kPeer);
  full.add(other, kOther);
  const auto taken = [&](const WorkerId& to) {
    return full.send(to, kUrgency, test_message(0, 0, kQueueShare * 9 / 10), 0);
  };
  EXPECT_TRUE(taken(other) && taken(peer) && taken(peer));
  EXPECT_FALSE(taken(other));
  PeerStatus status;
  status.acknowledged_cost = message_cost(kQueueShare * 9 / 10);
  full.published(kPeer, status);
  EXPECT_FALSE(full.next(0s)) << "two thirds wait";
  status.acknowledged_cost *= 2;
  full.published(kPeer, status);
  EXPECT_EQ(std::get<Room>(full.next(0s).value()).peer, other);
  EXPECT_FALSE(full.next(0s));
}

TEST_F(NodeDeskTest, OfAMemberTheLatestIsToldAndNothingTwice) {
  const WorkerId member{.key = PublicKey{}, .name = "stage-3"};
  desk.told_of(member, true);
  publish_open(kPeer);
  next<Up>();
  EXPECT_EQ(next<Seen>().member, member);
  desk.told_of(member, false);
  desk.told_of(member, true);
  EXPECT_FALSE(desk.next(0s)) << "it was away for a moment, and nobody asked";
  desk.told_of(member, false);
  EXPECT_EQ(next<Gone>().member, member);
  desk.told_of(member, true);
  desk.told_of(member, false);
  EXPECT_FALSE(desk.next(0s));
}

TEST_F(NodeDeskTest, WhatIsMeantForOneThatHasGoneIsNotItsSuccessors) {
  publish_open(kPeer);
  deliver(kPeer, 1);
  next<Up>();
  auto held = next<Delivery>();
  EXPECT_TRUE(send());
  publish_loss(Loss::restarted);
  publish_open(kPeer);
  EXPECT_FALSE(send());
  held.credit.end();
  const Orders orders = desk.take_orders();
  EXPECT_TRUE(orders.outgoing.empty());
  EXPECT_TRUE(orders.consumed_cost.empty());
  next<Down>();
  next<Up>();
  EXPECT_TRUE(send());
}

TEST_F(NodeDeskTest, ASuccessorThatIsLostBeforeAnybodyLookedWasNeverThere) {
  publish_open(kPeer);
  publish_loss(Loss::restarted);
  publish_open(kPeer);
  deliver(kPeer, 2);
  publish_loss(Loss::failed);
  next<Up>();
  EXPECT_EQ(next<Down>().why, Loss::failed);
  EXPECT_FALSE(desk.next(0s));
}

TEST_F(NodeDeskTest, ALossIsToldThoughOthersGoOnSending) {
  publish_open(kOther);
  publish_open(kPeer);
  deliver(kPeer, 1);
  for (std::uint64_t i = 0; i < 3; ++i) deliver(kOther, i);
  publish_loss(Loss::failed);
  next<Up>();
  next<Up>();
  EXPECT_EQ(next<Delivery>().from, peer);
  EXPECT_EQ(next<Down>().peer, peer);
  EXPECT_EQ(next<Delivery>().from, other);
}

// Nothing is known of what they have been sent any more.
TEST_F(NodeDeskTest, WhereTheLoopHasEndedNobodyIsDrained) {
  PeerStatus done;
  done.drained = true;
  desk.published(kPeer, done);
  desk.published(kOther, done);
  EXPECT_TRUE(desk.wait_until_drained(0s));
  desk.collapse(Error(ErrorKind::internal, "the network thread ended"));
  EXPECT_FALSE(desk.wait_until_drained(0s));
}

}  // namespace
}  // namespace ptrain::net
