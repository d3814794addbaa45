#include "tools/relay/control/departures.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/unit/relay/run_of_members.h"

namespace ptrain::relay {
namespace {

using namespace std::chrono_literals;

constexpr net::WallTime kNow{1700000000s};
const TestRun kRun(1);

Departed departed(std::uint8_t key, const std::string& host, net::WallTime when = kNow,
                  const std::string& role = "stage-0") {
  return {.who = {kRun.key(), {.peer_key = key_of(key), .role = role}},
          .host = host,
          .how = "left",
          .when = when};
}

std::vector<std::string> hosts(const Departures& departures, net::WallTime now = kNow) {
  std::vector<std::string> found;
  departures.for_each(now, [&](const Departed& each) { found.push_back(each.host); });
  return found;
}

TEST(Departures, TheLatestComeFirstForAnHour) {
  Departures departures;
  departures.note(departed(1, "192.0.2.1", kNow));
  departures.note(departed(2, "192.0.2.2", kNow + 60s));
  EXPECT_EQ(hosts(departures, kNow + 60s), (std::vector<std::string>{"192.0.2.2", "192.0.2.1"}));
  EXPECT_EQ(hosts(departures, kNow + kKeepDepartures), std::vector<std::string>{"192.0.2.2"});
}

TEST(Departures, WhoComesBackIsForgottenAndIsListedOnce) {
  Departures departures;
  departures.note(departed(1, "192.0.2.1"));
  departures.note(departed(1, "192.0.2.1", kNow + 1s));
  EXPECT_EQ(hosts(departures).size(), 1u);
  departures.came_back(departed(1, "").who);
  EXPECT_TRUE(hosts(departures).empty());
}

TEST(Departures, OneAddressHasAShareAndAllHaveALimit) {
  Departures departures;
  departures.note(departed(1, "192.0.2.1"));
  for (std::size_t i = 0; i <= kMaxDeparturesOfAddress; ++i) {
    departures.note(departed(2, "198.51.100.1", kNow, "stage-" + std::to_string(i)));
  }
  EXPECT_EQ(hosts(departures).size(), 1 + kMaxDeparturesOfAddress);
  EXPECT_EQ(hosts(departures).back(), "192.0.2.1");
  for (std::size_t i = 0; i <= kMaxDepartures; ++i) {
    departures.note(departed(3, "10.0." + std::to_string(i / 256) + "." + std::to_string(i % 256),
                             kNow, "stage-" + std::to_string(i)));
  }
  EXPECT_EQ(hosts(departures).size(), kMaxDepartures);
}

}  // namespace
}  // namespace ptrain::relay
