#include "libcommon/net/zmq/connection_guard.h"

#include <chrono>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace ptrain::net {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// Real connections, from addresses of the loopback net.
class Guarded : public testing::Test {
 protected:
  Guarded() {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::bind(listening_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(listening_.get(), 64), 0);
  }

  struct Connection {
    os::FileDescriptor theirs;
    os::FileDescriptor ours;
  };

  Connection connect(std::uint32_t from = INADDR_LOOPBACK) {
    sockaddr_in to{};
    socklen_t size = sizeof to;
    ::getsockname(listening_.get(), reinterpret_cast<sockaddr*>(&to), &size);
    Connection connection{.theirs = os::FileDescriptor(::socket(AF_INET, SOCK_STREAM, 0)),
                          .ours = {}};
    sockaddr_in source{};
    source.sin_family = AF_INET;
    source.sin_addr.s_addr = htonl(from);
    EXPECT_EQ(::bind(connection.theirs.get(), reinterpret_cast<sockaddr*>(&source), sizeof source),
              0);
    EXPECT_EQ(::connect(connection.theirs.get(), reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
    connection.ours = os::FileDescriptor(::accept(listening_.get(), nullptr, nullptr));
    guard.opened(connection.ours.get(), now);
    return connection;
  }

  // As libzmq does: what has come is taken from the kernel, whether or not it can be used.
  static void arrive(Connection& connection, std::size_t bytes) {
    std::vector<char> buffer(bytes);
    for (std::size_t done = 0; done < bytes;) {
      const auto sent = ::send(connection.theirs.get(), buffer.data(),
                               std::min<std::size_t>(bytes - done, 65536), 0);
      ASSERT_GT(sent, 0);
      ASSERT_EQ(
          ::recv(connection.ours.get(), buffer.data(), static_cast<std::size_t>(sent), MSG_WAITALL),
          sent);
      done += static_cast<std::size_t>(sent);
    }
  }

  static bool is_open(const Connection& connection) {
    char byte = 0;
    return ::recv(connection.theirs.get(), &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
  }

  std::vector<std::string> look() {
    now += kGuardInterval;
    return guard.look(now);
  }

  std::vector<std::string> sweep() {
    now += kGuardSweep;
    return guard.look(now);
  }

  os::FileDescriptor listening_{::socket(AF_INET, SOCK_STREAM, 0)};
  TimePoint now{};
  ConnectionBounds bounds{.strangers = 6, .strangers_of_one_address = 4};
  ConnectionGuard guard{bounds};
};

TEST_F(Guarded, OfTooManyStrangersOfOneAddressTheOldestGoes) {
  std::vector<Connection> connections;
  for (int i = 0; i < 4; ++i) connections.push_back(connect());
  EXPECT_THAT(look(), IsEmpty());
  connections.push_back(connect());
  EXPECT_THAT(look(), ElementsAre(HasSubstr("too many connections")));
  EXPECT_FALSE(is_open(connections[0]));
  EXPECT_TRUE(is_open(connections[1]));
  EXPECT_TRUE(is_open(connections[4]));
}

TEST_F(Guarded, WhoeverHasTheMostConnectionsLosesOneForAllOthers) {
  std::vector<Connection> connections;
  connections.push_back(connect(INADDR_LOOPBACK + 1));
  for (int i = 0; i < 4; ++i) connections.push_back(connect());
  connections.push_back(connect(INADDR_LOOPBACK + 2));
  EXPECT_THAT(look(), IsEmpty());
  connections.push_back(connect(INADDR_LOOPBACK + 2));
  EXPECT_THAT(look(), ElementsAre(HasSubstr("127.0.0.1:")));
  EXPECT_TRUE(is_open(connections[0]));
  EXPECT_FALSE(is_open(connections[1]));
}

TEST_F(Guarded, WhoHasSaidWhoTheyAreDoesNotCount) {
  std::vector<Connection> connections;
  for (int i = 0; i < 40; ++i) {
    connections.push_back(connect());
    guard.introduced(connections.back().ours.get());
  }
  EXPECT_THAT(look(), IsEmpty());
  EXPECT_EQ(guard.strangers(), 0u);
}

TEST_F(Guarded, AStrangerHasSoLongToSayWhoItIs) {
  auto silent = connect();
  auto known = connect();
  guard.introduced(known.ours.get());
  now += bounds.introduction - 2 * kGuardInterval;
  EXPECT_THAT(look(), IsEmpty());
  EXPECT_THAT(look(), ElementsAre(HasSubstr("has not said who it is")));
  EXPECT_FALSE(is_open(silent));
  EXPECT_TRUE(is_open(known));
}

TEST_F(Guarded, AStrangerMayHaveSoManyBytesHeld) {
  auto modest = connect();
  auto large = connect();
  arrive(modest, bounds.stranger_bytes);
  arrive(large, bounds.stranger_bytes + 1);
  EXPECT_THAT(sweep(), ElementsAre(HasSubstr("before it said who it is")));
  EXPECT_TRUE(is_open(modest));
  EXPECT_FALSE(is_open(large));
}

TEST_F(Guarded, AMessageThatDoesNotEndIsCutOff) {
  auto slow = connect();
  auto endless = connect();
  for (const auto* each : {&slow, &endless}) guard.introduced(each->ours.get());
  arrive(slow, bounds.unfinished_bytes);
  arrive(endless, bounds.unfinished_bytes + 1);
  EXPECT_THAT(sweep(), IsEmpty());  // it may wait to be read
  EXPECT_THAT(look(), IsEmpty());
  guard.nothing_waits();
  EXPECT_THAT(look(), ElementsAre(HasSubstr("does not end")));
  EXPECT_TRUE(is_open(slow));
  EXPECT_FALSE(is_open(endless));
}

TEST_F(Guarded, AMessageThatDoesNotEndIsCutOffWhereATunnelBringsIt) {
  const auto carried = std::make_shared<CarriedBytes>();
  ConnectionGuard at_tunnel(bounds, carried);
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  const os::FileDescriptor ours(ends[0]);
  const os::FileDescriptor theirs(ends[1]);
  at_tunnel.opened(ours.get(), now);
  at_tunnel.introduced(ours.get());
  *carried = bounds.unfinished_bytes;
  EXPECT_THAT(at_tunnel.look(now += kGuardSweep), IsEmpty());
  at_tunnel.nothing_waits();
  EXPECT_THAT(at_tunnel.look(now += kGuardSweep), IsEmpty()) << "one fits";
  *carried = bounds.unfinished_bytes + 1;
  EXPECT_THAT(at_tunnel.look(now += kGuardSweep), IsEmpty());  // it may wait to be read
  at_tunnel.nothing_waits();
  EXPECT_THAT(at_tunnel.look(now += kGuardSweep), ElementsAre(HasSubstr("does not end")));
  char byte = 0;
  EXPECT_EQ(::recv(theirs.get(), &byte, 1, MSG_DONTWAIT), 0);
}

TEST_F(Guarded, WhatWaitsToBeReadIsNoMessageWithoutEnd) {
  auto fast = connect();
  guard.introduced(fast.ours.get());
  for (int i = 0; i < 20; ++i) {
    arrive(fast, 2 * bounds.unfinished_bytes);
    EXPECT_THAT(sweep(), IsEmpty());
    guard.took(fast.ours.get(), bounds.unfinished_bytes);
    guard.nothing_waits();
  }
  EXPECT_TRUE(is_open(fast));
}

TEST_F(Guarded, OthersThatKeepTheSocketBusyHideNoMessageWithoutEnd) {
  auto endless = connect();
  auto busy = connect();
  for (const auto* each : {&endless, &busy}) guard.introduced(each->ours.get());
  arrive(endless, 2 * bounds.unfinished_bytes);
  EXPECT_THAT(sweep(), IsEmpty());
  for (int i = 0; i < 5; ++i) guard.took(busy.ours.get(), 100);
  EXPECT_THAT(look(), ElementsAre(HasSubstr("does not end")));
}

TEST_F(Guarded, WhoIsSentAwayHasTimeToHearWhy) {
  auto leaving = connect();
  guard.introduced(leaving.ours.get());
  guard.closed(leaving.ours.get(), now);
  now += bounds.farewell - 2 * kGuardInterval;
  EXPECT_THAT(look(), IsEmpty());
  EXPECT_TRUE(is_open(leaving));
  look();
  EXPECT_FALSE(is_open(leaving));
}

TEST_F(Guarded, ADescriptorThatIsAnothersByNowIsLeftAlone) {
  auto old = connect();
  const int number = old.ours.get();
  auto other = connect();
  ASSERT_EQ(::dup2(other.ours.get(), number), number);
  now += bounds.introduction;
  guard.introduced(other.ours.get());
  EXPECT_THAT(look(), IsEmpty());
  EXPECT_TRUE(is_open(other));
}

TEST_F(Guarded, WhereNothingComesALookIsRare) {
  EXPECT_EQ(guard.next_tick(), TimePoint::max());
  auto idle = connect();
  guard.introduced(idle.ours.get());
  sweep();
  EXPECT_EQ(guard.next_tick(), now + kGuardSweep);
  std::vector<PollItem> items;
  guard.add_poll_items(items);
  ASSERT_EQ(items.size(), 1u);
  EXPECT_EQ(poll(items, Duration::zero()), 0);
  ASSERT_EQ(::send(idle.theirs.get(), "x", 1, 0), 1);
  EXPECT_EQ(poll(items, std::chrono::seconds(1)), 1);
  look();
  EXPECT_EQ(guard.next_tick(), now + kGuardInterval);  // at most so often
}

}  // namespace
}  // namespace ptrain::net
