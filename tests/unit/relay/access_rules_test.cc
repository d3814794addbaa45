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
const TestRun kRun{1};
const std::string kRunId = net::RunId(kRun.key()).to_string();

TEST(AccessRules, WithoutAnyEveryoneIsServed) {
  const AccessRules rules = read_access({});
  EXPECT_TRUE(rules.allows_peer(kKey));
  EXPECT_TRUE(rules.allows_run(kRun.key()));
}

TEST(AccessRules, AnOptionRestrictsItsKindOnly) {
  const AccessRules rules = read_access({.peers = {net::to_hex(kKey)}, .runs = {}, .file = ""});
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
  for (const std::string text : {"peer", "peer 12", "run x", "host 1", "peer  *", "\tpeer *"}) {
    EXPECT_THROW(parsed("run *\n" + text), Error) << text;
  }
}

}  // namespace
}  // namespace ptrain::relay
