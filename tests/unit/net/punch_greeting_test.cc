// What two members say to each other over a connection that came up between their NATs, and what
// strangers hear.

#include "libcommon/net/punch_greeting.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libcommon/base/random_source.h"

namespace ptrain::net {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using State = PunchGreeting::State;

struct PunchGreetings : testing::Test {
  SystemRandom random;
  JobSecret secret = JobSecret::generate(random);
  PunchIdentity dialer{.secret = secret, .run = "run", .ours = {1}};
  PunchIdentity listener{.secret = secret, .run = "run", .ours = {2}};
  PunchLine to_listener{.theirs = {2}, .hole = 1, .we_dial = true};
  PunchLine to_dialer{.theirs = {1}, .hole = 1, .we_dial = false};

  PunchGreeting::Nonce nonce() { return random.bytes<32>(); }
  // That knows these lines.
  static PunchGreeting::Find finds(std::vector<PunchLine> lines) {
    return [lines = std::move(lines)](std::uint8_t hole, bool we_dial,
                                      const auto& is_theirs) -> std::optional<PunchLine> {
      for (const PunchLine& line : lines) {
        if (line.hole == hole && line.we_dial == we_dial && is_theirs(line)) return line;
      }
      return std::nullopt;
    };
  }

  // Everything that either says, byte by byte, until both are quiet.
  static void talk(PunchGreeting& a, PunchGreeting& b) {
    std::vector<std::byte> to_a;
    std::vector<std::byte> to_b;
    for (int quiet = 0; quiet < 2;) {
      const auto from_a = a.take_output();
      const auto from_b = b.take_output();
      to_b.insert(to_b.end(), from_a.begin(), from_a.end());
      to_a.insert(to_a.end(), from_b.begin(), from_b.end());
      const bool a_moved = read_some(a, to_a);
      const bool b_moved = read_some(b, to_b);
      const bool moved = a_moved || b_moved;
      quiet = moved || !from_a.empty() || !from_b.empty() ? 0 : quiet + 1;
    }
  }
  static bool read_some(PunchGreeting& by, std::vector<std::byte>& waiting) {
    if (by.wanted() == 0 || waiting.empty()) return false;
    by.take({waiting.data(), 1});
    waiting.erase(waiting.begin());
    return true;
  }
};

TEST_F(PunchGreetings, WhoeverConnectedBothAreVerifiedAndWhoDialsChooses) {
  for (const bool dialer_connects : {true, false}) {
    PunchGreeting a = dialer_connects ? PunchGreeting(dialer, nonce(), to_listener)
                                      : PunchGreeting(dialer, nonce(), finds({to_listener}));
    PunchGreeting b = dialer_connects ? PunchGreeting(listener, nonce(), finds({to_dialer}))
                                      : PunchGreeting(listener, nonce(), to_dialer);
    talk(a, b);
    EXPECT_EQ(a.state(), State::verified);
    EXPECT_EQ(b.state(), State::verified);
    EXPECT_EQ(a.wanted(), 0u) << "what follows is another's";
    EXPECT_EQ(b.wanted(), 1u);
    a.choose();
    talk(a, b);
    EXPECT_EQ(b.state(), State::chosen);
    EXPECT_EQ(b.wanted(), 0u);
    EXPECT_EQ(b.line(), to_dialer);
  }
}

TEST_F(PunchGreetings, BothMayHaveConnectedAtOnce) {
  PunchGreeting a(dialer, nonce(), to_listener);
  PunchGreeting b(listener, nonce(), to_dialer);
  talk(a, b);
  EXPECT_EQ(a.state(), State::verified);
  EXPECT_EQ(b.state(), State::verified);
}

TEST_F(PunchGreetings, OfSeveralLinesTheCallersIsFound) {
  const PunchLine another{.theirs = {3}, .hole = 1, .we_dial = false};
  const PunchLine other_hole{.theirs = {1}, .hole = 0, .we_dial = false};
  PunchGreeting a(dialer, nonce(), to_listener);
  PunchGreeting b(listener, nonce(), finds({another, other_hole, to_dialer}));
  talk(a, b);
  EXPECT_EQ(b.line(), to_dialer);
  EXPECT_EQ(b.state(), State::verified);
}

TEST_F(PunchGreetings, WhoIsNotOfTheRunHearsNothing) {
  PunchIdentity stranger{.secret = JobSecret::generate(random), .run = "run", .ours = {1}};
  PunchGreeting a(stranger, nonce(), to_listener);
  PunchGreeting b(listener, nonce(), finds({to_dialer}));
  b.take(a.take_output());
  EXPECT_EQ(b.state(), State::failed);
  EXPECT_THAT(b.take_output(), IsEmpty());
}

TEST_F(PunchGreetings, AMemberWhomNobodyAwaitsHearsNothing) {
  PunchIdentity third{.secret = secret, .run = "run", .ours = {3}};
  PunchGreeting a(third, nonce(), to_listener);
  PunchGreeting b(listener, nonce(), finds({to_dialer}));
  b.take(a.take_output());
  EXPECT_EQ(b.state(), State::failed);
  EXPECT_THAT(b.take_output(), IsEmpty());
}

TEST_F(PunchGreetings, AnotherMemberAtTheAddressIsNotThePeer) {
  PunchIdentity third{.secret = secret, .run = "run", .ours = {3}};
  PunchGreeting a(dialer, nonce(), to_listener);
  PunchGreeting b(third, nonce(), to_dialer);
  talk(a, b);
  EXPECT_EQ(a.state(), State::failed);
  EXPECT_THAT(a.why(), HasSubstr("somebody else"));
}

TEST_F(PunchGreetings, AHelloThatIsSaidAgainGetsNoFurther) {
  PunchGreeting first(dialer, nonce(), to_listener);
  const auto hello = first.take_output();
  ASSERT_EQ(hello.size(), kPunchHelloBytes);
  PunchGreeting b(listener, nonce(), finds({to_dialer}));
  b.take(hello);
  EXPECT_EQ(b.state(), State::begun);
  // Nor does what the listener itself has said, sent back.
  auto said = b.take_output();
  ASSERT_EQ(said.size(), kPunchHelloBytes + 32);
  b.take({said.data() + kPunchHelloBytes, 32});
  EXPECT_EQ(b.state(), State::failed);
}

TEST_F(PunchGreetings, ItsOwnHelloIsNobodys) {
  PunchGreeting a(dialer, nonce(), to_listener);
  const auto hello = a.take_output();
  a.take(hello);
  EXPECT_EQ(a.state(), State::failed) << "a connection to ourselves";
}

TEST_F(PunchGreetings, EveryByteOfAHelloMatters) {
  PunchGreeting a(dialer, nonce(), to_listener);
  const auto hello = a.take_output();
  for (std::size_t i = 0; i < hello.size(); ++i) {
    // Zeros that mean nothing are not looked at.
    if (i >= 10 && i < 16) continue;
    auto changed = hello;
    changed[i] ^= std::byte{1};
    PunchGreeting b(listener, nonce(), finds({to_dialer}));
    b.take(changed);
    EXPECT_EQ(b.state(), State::failed) << i;
    EXPECT_THAT(b.take_output(), IsEmpty());
  }
}

TEST_F(PunchGreetings, WhatIsNoGoEndsIt) {
  PunchGreeting a(dialer, nonce(), to_listener);
  PunchGreeting b(listener, nonce(), finds({to_dialer}));
  talk(a, b);
  const std::byte other{2};
  b.take({&other, 1});
  EXPECT_EQ(b.state(), State::failed);
}

}  // namespace
}  // namespace ptrain::net
