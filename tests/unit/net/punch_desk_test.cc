// Two members' sockets that meet on this machine: without a NAT between them, but with both sides
// connecting and listening at once, strangers, and those who only take time.

#include "libcommon/net/punch_desk.h"

#include <cerrno>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libcommon/base/random_source.h"

namespace ptrain::net {
namespace {

using namespace std::chrono_literals;
using os::FileDescriptor;
using testing::IsEmpty;
using Outcome = PunchLadder::Outcome;

constexpr Duration kPatience = 20s;

TimePoint now() { return std::chrono::steady_clock::now(); }

struct Side {
  SystemRandom random;
  PublicKey key;
  PunchDesk desk;
  Side(const JobSecret& secret, PublicKey ours, std::vector<std::uint16_t> ports = {})
      : key(ours),
        desk({.identity = {.secret = secret, .run = "run", .ours = ours},
              .holes = 2,
              .ports = std::move(ports)},
             random) {}
  PunchTarget hole(std::size_t number) const {
    PunchTarget target{.rung = PunchRung::lan, .at = {}};
    target.at.host = "127.0.0.1";
    target.at.port = desk.holes()[number].port;
    return target;
  }
};

struct PunchDesks : testing::Test {
  SystemRandom random;
  JobSecret secret = JobSecret::generate(random);
  Side a{secret, {1}};
  Side b{secret, {2}};
  PunchLine to_b{.theirs = {2}, .hole = 0, .we_dial = true};
  PunchLine to_a{.theirs = {1}, .hole = 0, .we_dial = false};

  void open_lines() {
    a.desk.open_line(to_b);
    b.desk.open_line(to_a);
  }
  // Both desks are looked at until that holds.
  bool until(const std::function<bool()>& holds, Duration patience = kPatience) {
    for (const TimePoint end = now() + patience; now() < end;) {
      a.desk.process(now());
      b.desk.process(now());
      if (holds()) return true;
      std::this_thread::sleep_for(1ms);
    }
    return false;
  }
  struct Pair {
    std::optional<PunchedConnection> a;
    std::optional<PunchedConnection> b;
  };
  Pair meet() {
    Pair pair;
    EXPECT_TRUE(until([&] {
      if (!pair.a) pair.a = a.desk.take(to_b);
      if (!pair.b) pair.b = b.desk.take(to_a);
      return pair.a && pair.b;
    }));
    return pair;
  }
  static bool carry(const FileDescriptor& from, const FileDescriptor& to) {
    char byte = 'x';
    if (::send(from.get(), &byte, 1, MSG_NOSIGNAL) != 1) return false;
    pollfd item{to.get(), POLLIN, 0};
    ::poll(&item, 1, 10000);
    return ::recv(to.get(), &byte, 1, 0) == 1 && byte == 'x';
  }
};

TEST_F(PunchDesks, BothSidesTryAndHaveTheSameConnection) {
  for (int round = 0; round < 20; ++round) {
    open_lines();
    const TimePoint at = now() + 5ms;
    a.desk.begin(to_b, {b.hole(0)}, at);
    b.desk.begin(to_a, {a.hole(0)}, at);
    const Pair pair = meet();
    ASSERT_TRUE(pair.a && pair.b);
    EXPECT_TRUE(carry(pair.a->socket, pair.b->socket));
    EXPECT_TRUE(carry(pair.b->socket, pair.a->socket));
    a.desk.close_line(to_b);
    b.desk.close_line(to_a);
  }
}

TEST_F(PunchDesks, OneSideThatReachesTheOtherIsEnough) {
  open_lines();
  a.desk.begin(to_b, {b.hole(0)}, now());
  const Pair pair = meet();
  ASSERT_TRUE(pair.a && pair.b);
  EXPECT_FALSE(pair.a->they_came);
  EXPECT_TRUE(pair.b->they_came);
}

TEST_F(PunchDesks, ItMayBeTheOtherOne) {
  open_lines();
  b.desk.begin(to_a, {a.hole(0)}, now());
  const Pair pair = meet();
  ASSERT_TRUE(pair.a && pair.b);
  EXPECT_TRUE(pair.a->they_came);
  EXPECT_EQ(b.desk.attempt(to_a).rungs[0].outcome, Outcome::chosen);
}

TEST_F(PunchDesks, WhatIsNotWantedIsNotChosen) {
  open_lines();
  a.desk.want(to_b, false);
  b.desk.begin(to_a, {a.hole(0)}, now());
  EXPECT_TRUE(until([&] { return b.desk.attempt(to_a).rungs[0].outcome == Outcome::passed; }));
  EXPECT_FALSE(a.desk.take(to_b));
  EXPECT_FALSE(b.desk.take(to_a));
}

TEST_F(PunchDesks, ThePeerIsReachedThoughSomebodyElseHasOneOfItsAddresses) {
  Side other(JobSecret::generate(random), {2});
  other.desk.open_line(to_a);
  open_lines();
  a.desk.begin(to_b, {other.hole(0), b.hole(0)}, now());
  Pair pair;
  EXPECT_TRUE(until([&] {
    other.desk.process(now());
    if (!pair.a) pair.a = a.desk.take(to_b);
    if (!pair.b) pair.b = b.desk.take(to_a);
    return pair.a && pair.b;
  }));
  EXPECT_EQ(pair.a->from.port, b.hole(0).at.port);
  EXPECT_FALSE(other.desk.take(to_a));
}

TEST_F(PunchDesks, SomebodyElseAtTheOnlyAddressIsNoPath) {
  Side other(JobSecret::generate(random), {2});
  other.desk.open_line(to_a);
  open_lines();
  a.desk.begin(to_b, {other.hole(0)}, now());
  EXPECT_TRUE(until([&] {
    other.desk.process(now());
    return a.desk.attempt(to_b).rungs[0].outcome == Outcome::stranger;
  }));
  EXPECT_FALSE(a.desk.take(to_b));
}

TEST_F(PunchDesks, APortWhereNobodyListensRefusesAndIsAskedAgain) {
  PunchTarget nobody;
  {
    Side gone(secret, {3});
    nobody = gone.hole(0);
  }
  open_lines();
  a.desk.begin(to_b, {nobody}, now());
  EXPECT_TRUE(until([&] { return a.desk.attempt(to_b).over; }));
  const auto rungs = a.desk.attempt(to_b).rungs;
  EXPECT_EQ(rungs[0].outcome, Outcome::refused);
  EXPECT_EQ(rungs[0].tries, kMostPunchTries);
}

FileDescriptor connect_to(const PunchTarget& target) {
  FileDescriptor fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const auto to = numeric_address(target.at.host, target.at.port);
  if (::connect(fd.get(), to->get(), to->length) != 0) return {};
  return fd;
}
// What comes until the other end hangs up.
std::string all_of(const FileDescriptor& fd) {
  std::string all;
  char bytes[256];
  for (ssize_t got = 0; (got = ::recv(fd.get(), bytes, sizeof bytes, 0)) > 0;)
    all.append(bytes, static_cast<std::size_t>(got));
  return all;
}

TEST_F(PunchDesks, AStrangerGetsNotAByteAndTwoSeconds) {
  open_lines();
  for (const std::string& said :
       {std::string(), std::string("GET / HTTP/1.1\r\n\r\n"), std::string(kPunchHelloBytes, 'p')}) {
    const FileDescriptor stranger = connect_to(a.hole(0));
    ASSERT_TRUE(stranger.valid());
    if (!said.empty()) ::send(stranger.get(), said.data(), said.size(), MSG_NOSIGNAL);
    std::string heard = "x";
    const TimePoint begin = now();
    std::thread reader([&] { heard = all_of(stranger); });
    EXPECT_TRUE(until([&] { return now() > begin + kGreetingTime + 500ms; }));
    reader.join();
    EXPECT_THAT(heard, IsEmpty());
  }
}

TEST_F(PunchDesks, ThousandsOfStrangersDoNotKeepThePeerAway) {
  open_lines();
  std::vector<FileDescriptor> strangers;
  for (std::size_t i = 0; i < 2 * kMostCallers; ++i) {
    strangers.push_back(connect_to(b.hole(0)));
    b.desk.process(now());
  }
  a.desk.begin(to_b, {b.hole(0)}, now());
  const Pair pair = meet();
  EXPECT_TRUE(pair.a && pair.b);
}

TEST_F(PunchDesks, AHoleHasThePortThatIsWantedUnlessThatIsTaken) {
  const std::uint16_t taken = a.desk.holes()[0].port;
  Side other(secret, {4}, {taken});
  EXPECT_NE(other.desk.holes()[0].port, taken);
  std::uint16_t free = 0;
  {
    Side gone(secret, {5});
    free = gone.desk.holes()[0].port;
  }
  Side wanted(secret, {6}, {free});
  EXPECT_EQ(wanted.desk.holes()[0].port, free);
}

TEST_F(PunchDesks, WhereARouterMapsAPortThatIsToldBeforeWhatAnEchoSees) {
  a.desk.set_outside({{.protocol = "tcp",
                       .port = a.desk.holes()[1].port,
                       .host = "198.51.100.7",
                       .outside = 7200}});
  EXPECT_THAT(a.desk.holes()[0].outside, IsEmpty());
  ASSERT_EQ(a.desk.holes()[1].outside.size(), 1u);
  EXPECT_EQ(to_string(a.desk.holes()[1].outside[0]), "tcp://198.51.100.7:7200");
  EXPECT_EQ(a.desk.mapping(), NatMapping::unknown);
}

}  // namespace
}  // namespace ptrain::net
