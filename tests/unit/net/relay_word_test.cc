#include "libcommon/net/relay_word.h"

#include <vector>

#include <gtest/gtest.h>

#include "libcommon/base/error.h"

namespace ptrain::net {
namespace {

const std::string kKey(64, 'a');

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

}  // namespace
}  // namespace ptrain::net
