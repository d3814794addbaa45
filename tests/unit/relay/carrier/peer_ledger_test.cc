#include "tools/relay/carrier/peer_ledger.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/relay/carrier/seats.h"

namespace ptrain::relay {
namespace {

using ::testing::ElementsAre;

const TimePoint kStart{};
const net::PublicKey kAlice = place_of(1).peer_key;
const net::PublicKey kBob = place_of(2).peer_key;
const net::PublicKey kCarol = place_of(3).peer_key;
const SourceAddress kHere{.bytes = {192, 0, 2, 1}};
const SourceAddress kThere{.bytes = {192, 0, 2, 2}};

TEST(PeerLedger, APeerHasSoManyConnectionsAndNoMore) {
  PeerLedger ledger({.connections_per_peer = 2});
  PeerLedger::Account* account = ledger.open(kAlice, kHere, kStart);
  EXPECT_NE(ledger.open(kAlice, kHere, kStart), nullptr);
  EXPECT_EQ(ledger.open(kAlice, kHere, kStart), nullptr);
  EXPECT_NE(ledger.open(kBob, kHere, kStart), nullptr);
  ledger.close(*account, kHere);
  EXPECT_NE(ledger.open(kAlice, kHere, kStart), nullptr);
}

TEST(PeerLedger, AllTogetherHaveSoManyConnectionsAndNoMore) {
  PeerLedger ledger({.connections = 2});
  PeerLedger::Account* account = ledger.open(kAlice, kHere, kStart);
  EXPECT_NE(ledger.open(kBob, kHere, kStart), nullptr);
  EXPECT_EQ(ledger.open(kCarol, kHere, kStart), nullptr);
  ledger.close(*account, kHere);
  EXPECT_NE(ledger.open(kCarol, kHere, kStart), nullptr);
  EXPECT_EQ(ledger.connections(), 2u);
}

TEST(PeerLedger, ASourceHasSoManyConnectionsWhateverItsKeys) {
  PeerLedger ledger({.connections_per_source = 2});
  EXPECT_NE(ledger.open(kAlice, kHere, kStart), nullptr);
  EXPECT_NE(ledger.open(kBob, kHere, kStart), nullptr);
  EXPECT_EQ(ledger.open(kCarol, kHere, kStart), nullptr);
  EXPECT_NE(ledger.open(kCarol, kThere, kStart), nullptr);
}

TEST(PeerLedger, WhenItIsFullWhoHasMoreThanAnEqualShareGivesWay) {
  PeerLedger ledger({.connections = 3});
  for (int i = 0; i < 2; ++i) ledger.open(kAlice, kHere, kStart);
  EXPECT_FALSE(ledger.gives_way_to(kThere)) << "there is room";
  ledger.open(kAlice, kHere, kStart);
  EXPECT_EQ(ledger.gives_way_to(kThere), kHere);
  EXPECT_FALSE(ledger.gives_way_to(kHere));
}

TEST(PeerLedger, TheFiguresOfAPeerOutliveItsConnections) {
  PeerLedger ledger({});
  PeerLedger::Account* account = ledger.open(kAlice, kHere, kStart);
  account->sent(1000, kStart);
  ledger.close(*account, kHere);
  EXPECT_THAT(ledger.all(), ElementsAre(PeerTraffic{kAlice, 0, ByteCount(1000)}));
  ledger.open(kAlice, kHere, kStart)->sent(1, kStart);
  EXPECT_EQ(ledger.of(kAlice), (PeerTraffic{kAlice, 1, ByteCount(1001)}));
}

TEST(PeerLedger, OfThoseWithoutConnectionSoManyAreKeptAndNoMore) {
  PeerLedger ledger({.idle_accounts = 1});
  ledger.close(*ledger.open(kAlice, kHere, kStart), kHere);
  EXPECT_TRUE(ledger.of(kAlice));
  ledger.close(*ledger.open(kBob, kHere, kStart), kHere);
  EXPECT_TRUE(ledger.of(kAlice));
  EXPECT_FALSE(ledger.of(kBob));
  ledger.close(*ledger.open(kAlice, kHere, kStart), kHere);
  EXPECT_TRUE(ledger.of(kAlice)) << "it has its own place again";
}

TEST(PeerLedger, APeerCannotOutrunItsRateByComingAnew) {
  PeerLedger ledger({.bytes_per_s_per_peer = ByteCount(1000)});
  PeerLedger::Account* account = ledger.open(kAlice, kHere, kStart);
  account->sent(2000, kStart);
  ledger.close(*account, kHere);
  account = ledger.open(kAlice, kHere, kStart);
  EXPECT_FALSE(account->may_send(kStart + std::chrono::milliseconds(900)));
  EXPECT_TRUE(account->may_send(account->may_send_at()));
}

}  // namespace
}  // namespace ptrain::relay
