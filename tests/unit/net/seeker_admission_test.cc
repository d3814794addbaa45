// Whom a client takes for its servers, of those that relays tell it of.

#include "libcommon/net/seeker_admission.h"

#include <string>

#include <gtest/gtest.h>

namespace ptrain::net {
namespace {

PublicKey key(std::uint8_t byte) {
  PublicKey key{};
  key.fill(byte);
  return key;
}

TEST(SeekerAdmission, EachRoleThatBeginsSoHasAHandleOfItsOwn) {
  SeekerAdmission seeker("holder-", PeerHandle(64), 8);
  const auto one = seeker.tie_to("holder-one");
  const auto two = seeker.tie_to("holder-two");
  ASSERT_TRUE(one && two);
  EXPECT_TRUE(one->we_dial);
  EXPECT_EQ(one->peer, PeerHandle(65));
  EXPECT_EQ(two->peer, PeerHandle(66));
  EXPECT_EQ(seeker.tie_to("holder-one")->peer, one->peer);
  EXPECT_EQ(seeker.id_of(*two->peer), (WorkerId{std::nullopt, "holder-two"}));
  EXPECT_TRUE(seeker.admit("holder-two", key(1)));
  EXPECT_EQ(seeker.id_of(*two->peer), (WorkerId{key(1), "holder-two"})) << "as relays tell of it";
  EXPECT_FALSE(seeker.tie_to("stage-1"));
  EXPECT_FALSE(seeker.tie_to("fetcher-one"));
  EXPECT_EQ(seeker.sought_roles(), std::set<std::string>{"holder-*"});
}

TEST(SeekerAdmission, MoreThanItWantsArePassedOver) {
  SeekerAdmission seeker("holder-", PeerHandle(0), 2);
  EXPECT_TRUE(seeker.tie_to("holder-1"));
  EXPECT_TRUE(seeker.tie_to("holder-2"));
  EXPECT_FALSE(seeker.tie_to("holder-3"));
  EXPECT_TRUE(seeker.tie_to("holder-2"));
}

TEST(SeekerAdmission, ARoleKeepsTheKeyThatClaimedItFirst) {
  SeekerAdmission seeker("holder-", PeerHandle(0), 2);
  EXPECT_TRUE(seeker.admit("holder-1", key(1)));
  EXPECT_FALSE(seeker.admit("holder-1", key(2)));
  EXPECT_TRUE(seeker.has_key("holder-1", key(1)));
  EXPECT_FALSE(seeker.has_key("holder-1", key(2)));
  seeker.bar(key(3));
  EXPECT_FALSE(seeker.admit("holder-2", key(3)));
  EXPECT_FALSE(seeker.admits(key(1))) << "nobody comes in";
}

}  // namespace
}  // namespace ptrain::net
