// Whom of its run a member is told of by a relay.

#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>

#include "tests/unit/net/two_members.h"

namespace ptrain::net {
namespace {

// What a member is told of others: their roles, "-" before one that has gone, "?" before one that
// is not listed.
class Watching : public Members {
 protected:
  std::vector<std::string> told(const Answer& answer) {
    std::vector<std::string> roles;
    for (const auto& event : member.take(answer, now)) {
      if (const auto* seen = std::get_if<membership::Seen>(&event)) {
        roles.push_back(seen->who.role);
      } else if (const auto* gone = std::get_if<membership::Gone>(&event)) {
        roles.push_back("-" + gone->who.role);
      } else {
        roles.push_back("?" + std::get<membership::Unlisted>(event).who.role);
      }
    }
    return roles;
  }
  std::vector<std::string> page(const Request& look_up, std::vector<std::string> roles,
                                bool complete, std::uint64_t version) {
    answer::Found found{.records = {}, .complete = complete, .registry_version = version};
    for (const std::string& role : roles) {
      found.records.push_back(record(theirs, role, 1, member_key));
    }
    return told({look_up.id, std::move(found)});
  }
  std::optional<Request> look_up() { return next_of<request::LookUp>(member, now); }
  std::vector<std::string> departs(const std::string& role, std::uint64_t version) {
    return told(
        {0, answer::Departed{.who = {theirs.public_key(), role}, .registry_version = version}});
  }

  RelayMembership member = registered();
};

using testing::ElementsAre;
using testing::IsEmpty;

TEST_F(Watching, WhoeverIsThereIsSeenAndWhoLeavesHasGone) {
  EXPECT_THAT(page(*look_up(), {"stage-0", "stage-2"}, true, 5), ElementsAre("stage-0", "stage-2"));
  EXPECT_THAT(told({0, answer::Appeared{record(ours, "stage-1", 7, member_key), 6}}), IsEmpty())
      << "we have come";
  EXPECT_THAT(departs("stage-0", 7), ElementsAre("-stage-0"));
  EXPECT_THAT(departs("stage-0", 8), IsEmpty());
  EXPECT_FALSE(look_up());
  EXPECT_THAT(departs("stage-3", 10), IsEmpty()) << "a change has passed us by";
  EXPECT_THAT(page(*look_up(), {"stage-0"}, true, 10), ElementsAre("stage-0", "?stage-2"));
}

// A second list in the middle of one would make the pages before it forgotten.
TEST_F(Watching, AChangeThatPassedByDuringAListIsLookedUpAfterIt) {
  EXPECT_THAT(page(*look_up(), {"stage-2"}, false, 5), ElementsAre("stage-2"));
  const auto second = look_up();
  EXPECT_THAT(told({0, answer::Appeared{record(theirs, "stage-9", 1, member_key), 7}}),
              ElementsAre("stage-9"))
      << "and the one before was lost";
  EXPECT_FALSE(look_up());
  EXPECT_THAT(page(*second, {"stage-3"}, false, 7), ElementsAre("stage-3"));
  EXPECT_THAT(page(*look_up(), {"stage-4"}, true, 7), ElementsAre("stage-4"))
      << "whoever was on an earlier page, or has come since, is there";
  const auto again = look_up();
  ASSERT_TRUE(again);
  EXPECT_THAT(page(*again, {"stage-3", "stage-4", "stage-9"}, true, 7),
              ElementsAre("stage-3", "stage-4", "stage-9", "?stage-2"));
  EXPECT_FALSE(look_up());
}

// The answer to a question that is under way comes after what was lost before it.
TEST_F(Watching, WhatPassesByBeforeTheFirstPageIsOnIt) {
  const auto first = look_up();
  departs("stage-7", 3);
  departs("stage-8", 5);
  EXPECT_FALSE(look_up());
  EXPECT_THAT(page(*first, {"stage-2"}, true, 5), ElementsAre("stage-2"));
  EXPECT_FALSE(look_up());
}

TEST_F(Watching, AChangeThatALaterPageGivesAwayIsLookedUp) {
  page(*look_up(), {"stage-2"}, false, 5);
  page(*look_up(), {"stage-3"}, true, 6);
  EXPECT_THAT(page(*look_up(), {"stage-3"}, true, 6), ElementsAre("stage-3", "?stage-2"));
  EXPECT_FALSE(look_up());
}

}  // namespace
}  // namespace ptrain::net
