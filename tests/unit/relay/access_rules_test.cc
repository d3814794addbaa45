#include "tools/relay/control/access_rules.h"

#include <gtest/gtest.h>

#include "libcommon/base/error.h"
#include "tests/unit/relay/run_of_members.h"

namespace ptrain::relay {
namespace {

AccessRules parsed(const std::string& text, AccessRules rules = {}) {
  parse_allow_file(rules, text, "allow");
  return rules;
}

const net::PublicKey kKey = key_of(1);
const net::PublicKey kOwn = key_of(200);
const TestRun kRun{1};
const std::string kRunId = net::RunId(kRun.key()).to_string();

TEST(AccessRules, WithoutAnyEveryoneIsServed) {
  const AccessRules rules = read_access({}, kOwn);
  EXPECT_TRUE(rules.allows_peer(kKey));
  EXPECT_TRUE(rules.allows_run(kRun.key()));
}

TEST(AccessRules, AnOptionRestrictsItsKindOnly) {
  const AccessRules rules = read_access({.peers = {net::to_hex(kKey)},
                                         .runs = {},
                                         .file = "",
                                         .neighbours = {},
                                         .neighbour_file = ""},
                                        kOwn);
  EXPECT_TRUE(rules.allows_peer(kKey));
  EXPECT_FALSE(rules.allows_peer(key_of(2)));
  EXPECT_TRUE(rules.allows_run(kRun.key()));
}

TEST(AccessRules, AFileAllowsNoMoreThanItSays) {
  EXPECT_FALSE(parsed("").allows_peer(kKey));
  EXPECT_FALSE(parsed("peer *\n").allows_run(kRun.key()));
  const AccessRules rules =
      parsed("# ours\n\npeer " + net::to_hex(kKey) + "\nrun " + kRunId + "\n");
  EXPECT_TRUE(rules.allows_peer(kKey));
  EXPECT_FALSE(rules.allows_peer(key_of(2)));
  EXPECT_TRUE(rules.allows_run(kRun.key()));
  EXPECT_FALSE(rules.allows_run(TestRun(2).key()));
  EXPECT_TRUE(parsed("peer *\nrun *").allows_peer(key_of(2)));
}

TEST(AccessRules, WhatIsNoRuleIsNamed) {
  for (const std::string text : {"peer", "peer 12", "run x", "host 1", "peer * *"}) {
    EXPECT_THROW(parsed("run *\n" + text), Error) << text;
  }
}

TEST(AccessRules, AFileIsReadAsOtherSystemsWriteIt) {
  const AccessRules rules = parsed("\xef\xbb\xbfpeer \t" + net::to_hex(kKey) +
                                   " # laptop\r\n\r\n run " + kRunId + "\t\r\n \r\n");
  EXPECT_TRUE(rules.allows_peer(kKey));
  EXPECT_TRUE(rules.allows_run(kRun.key()));
  EXPECT_FALSE(rules.allows_peer(key_of(2)));
}

std::string word_of(std::uint8_t key, std::uint16_t port = 7100) {
  return "tcp://192.0.2.1:" + std::to_string(port) + "#" + net::to_hex(key_of(key)) + ",data=7101";
}

TEST(NeighbourWords, AreTheRelaysOfTheFileBesidesOneself) {
  AccessRules rules;
  parse_neighbour_file(rules,
                       "# ours\n\r\n" + word_of(1) + " \r\n" + word_of(200) + "\n" + word_of(2),
                       kOwn, "file");
  ASSERT_EQ(rules.neighbours.size(), 2u);
  EXPECT_TRUE(rules.is_neighbour(key_of(1)));
  EXPECT_TRUE(rules.is_neighbour(key_of(2)));
  EXPECT_FALSE(rules.is_neighbour(kOwn));
  EXPECT_FALSE(rules.is_neighbour(key_of(3)));
  EXPECT_TRUE(rules.allows_peer(key_of(3))) << "they restrict nobody";
}

TEST(NeighbourWords, MayBeEightAndNoMore) {
  AccessRules rules;
  for (std::uint8_t i = 1; i <= kMaxNeighbours; ++i) add_neighbour(rules, word_of(i), kOwn, "x");
  add_neighbour(rules, word_of(1), kOwn, "x");  // known already
  EXPECT_EQ(rules.neighbours.size(), kMaxNeighbours);
  EXPECT_THROW(add_neighbour(rules, word_of(9), kOwn, "x"), Error);
}

TEST(NeighbourWords, HaveAKeyOfTheirOwn) {
  AccessRules rules;
  add_neighbour(rules, word_of(1), kOwn, "x");
  EXPECT_THROW(add_neighbour(rules, word_of(1, 7200), kOwn, "x"), Error);
}

TEST(NeighbourWords, WhatIsNoWordIsRefusedWithItsLine) {
  AccessRules rules;
  try {
    parse_neighbour_file(rules, word_of(1) + "\ntcp://h:1\n", kOwn, "file");
    FAIL() << "that is no word";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    EXPECT_NE(std::string(error.what()).find("file: line 2"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace ptrain::relay
