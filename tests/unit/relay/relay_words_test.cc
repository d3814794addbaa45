#include <gtest/gtest.h>

#include "libcommon/base/error.h"
#include "tools/relay/expiry.h"
#include "tools/relay/relay_word.h"

namespace ptrain::relay {
namespace {

using namespace std::chrono_literals;

const std::string kKey(64, 'a');
constexpr net::WallTime kNow{1700000000s};

TEST(RelayWord, ReadsBackAsItWasWritten) {
  for (const std::string host : {"relay.example.net", "192.0.2.1", "[2001:db8::1]"}) {
    const std::string word = "tcp://" + host + ":7100#" + kKey + ",data=7101";
    EXPECT_EQ(to_word(parse_relay_word(word)), word);
  }
}

TEST(RelayWord, WhatIsMissingIsRefused) {
  const std::string good = "tcp://h:1#" + kKey;
  for (const std::string& word : std::vector<std::string>{
           "", good, good + ",data=", good + ",data=0", good + ",data=65536", good + ",data=1x",
           "tcp://h:1,data=2", "tcp://h:0#" + kKey + ",data=2", "ipc://h#" + kKey + ",data=2"}) {
    EXPECT_THROW(parse_relay_word(word), Error) << word;
  }
}

TEST(Expiry, LengthsAndTimesAreUnderstood) {
  EXPECT_EQ(parse_expiry("30d", kNow), kNow + std::chrono::hours(720));
  EXPECT_EQ(parse_expiry("12h", kNow), kNow + 12h);
  EXPECT_EQ(parse_expiry("90m", kNow), kNow + 90min);
  EXPECT_EQ(parse_expiry("2024-01-01T00:00:00Z", kNow), net::WallTime(1704067200s));
  EXPECT_EQ(parse_expiry("3650d", kNow), kNow + kLongestTicket);
}

TEST(Expiry, OthersAreRefused) {
  for (const char* text : {"", "d", "30", "30w", "-1d", "0d", "3651d", "2020-01-01T00:00:00Z",
                           "99999999999d", "1.5d"}) {
    EXPECT_THROW(parse_expiry(text, kNow), Error) << text;
  }
}

}  // namespace
}  // namespace ptrain::relay
