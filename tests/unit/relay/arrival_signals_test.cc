// Which sockets something came to, though another thread has read it since.

#include "tools/relay/control/arrival_signals.h"

#include <array>
#include <stdexcept>
#include <string>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

namespace ptrain::relay {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

struct Pair {
  os::FileDescriptor ours;
  os::FileDescriptor theirs;
};

Pair pair() {
  std::array<int, 2> fds{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds.data()) != 0) {
    throw std::runtime_error("socketpair");
  }
  return {os::FileDescriptor(fds[0]), os::FileDescriptor(fds[1])};
}

void send(const os::FileDescriptor& to, const std::string& text) {
  ASSERT_EQ(::write(to.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
}

void read_all(const os::FileDescriptor& from) {
  std::array<char, 256> bytes{};
  while (::read(from.get(), bytes.data(), bytes.size()) > 0) {
  }
}

TEST(ArrivalSignals, WhatWasReadMeanwhileIsToldOfAndNothingTwice) {
  ArrivalSignals signals;
  const Pair quiet = pair();
  const Pair busy = pair();
  ASSERT_TRUE(signals.add(quiet.ours.get()));
  ASSERT_TRUE(signals.add(busy.ours.get()));
  signals.take();  // that they can be written to
  EXPECT_THAT(signals.take(), IsEmpty());
  send(busy.theirs, "something");
  read_all(busy.ours);
  EXPECT_THAT(signals.take(), ElementsAre(busy.ours.get()));
  EXPECT_THAT(signals.take(), IsEmpty());
  send(busy.theirs, "what nobody has read yet");
  EXPECT_THAT(signals.take(), ElementsAre(busy.ours.get()));
  EXPECT_THAT(signals.take(), IsEmpty());
}

TEST(ArrivalSignals, AClosedSocketIsLeftAndItsNumberMayBeAnothers) {
  ArrivalSignals signals;
  Pair first = pair();
  const int number = first.ours.get();
  ASSERT_TRUE(signals.add(number));
  first = {};
  const Pair second = pair();
  ASSERT_EQ(second.ours.get(), number);
  EXPECT_THAT(signals.take(), IsEmpty());
  EXPECT_TRUE(signals.add(number));
  signals.take();
  signals.remove(number);
  send(second.theirs, "something");
  EXPECT_THAT(signals.take(), IsEmpty());
}

TEST(ArrivalSignals, MoreThanFitIntoOneAnswerAreToldOf) {
  ArrivalSignals signals;
  std::vector<Pair> pairs;
  for (int i = 0; i < 300; ++i) {
    pairs.push_back(pair());
    ASSERT_TRUE(signals.add(pairs.back().ours.get()));
  }
  EXPECT_EQ(signals.take().size(), pairs.size());
  EXPECT_FALSE(signals.add(-1));
}

}  // namespace
}  // namespace ptrain::relay
