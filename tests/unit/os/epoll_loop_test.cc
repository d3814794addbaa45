#include "libcommon/os/epoll_loop.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace ptrain::os {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;

FileDescriptor readable() { return FileDescriptor(::eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK)); }

struct EpollLoopTest : testing::Test {
  SteadyClock clock;
  EpollLoop loop{clock};
  std::vector<int> called;

  void run_for(Duration duration) {
    const auto end = loop.timer([this] { loop.stop(); });
    end->set(clock.now() + duration);
    loop.run();
  }
};

TEST_F(EpollLoopTest, WhatIsPostedFromAnotherThreadIsDoneInOrder) {
  std::thread other([this] {
    for (int i = 0; i < 1000; ++i) loop.post([this, i] { called.push_back(i); });
    loop.post([this] { loop.stop(); });
  });
  loop.run();
  other.join();
  ASSERT_EQ(called.size(), 1000u);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(called[static_cast<std::size_t>(i)], i);
}

TEST_F(EpollLoopTest, ADescriptorIsToldOfForAsLongAsItCanBeReadAndTheWatchLives) {
  const FileDescriptor fd = readable();
  const auto end = loop.timer([this] { loop.stop(); });
  end->set(clock.now() + 20s);
  std::unique_ptr<Loop::Watch> watch;
  watch = loop.watch(fd.get(), [&] {
    called.push_back(1);
    if (called.size() != 3) return;
    end->set(clock.now() + 50ms);  // in which it would be called again
    watch.reset();                 // from within its own call
  });
  loop.run();
  EXPECT_THAT(called, ElementsAre(1, 1, 1));
}

// A library below closes its descriptor and opens another, which gets the same number.
TEST_F(EpollLoopTest, ADescriptorThatTookAnothersNumberIsWatchedOnceRenewed) {
  auto first = std::make_optional<FileDescriptor>(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  const int number = first->get();
  const auto watch = loop.watch(number, [this] {
    called.push_back(2);
    loop.stop();
  });
  first.reset();
  const FileDescriptor second = readable();
  ASSERT_EQ(second.get(), number);
  const auto later = loop.timer([&] {
    called.push_back(1);
    watch->renew();
  });
  later->set(clock.now() + 20ms);
  run_for(5s);
  EXPECT_THAT(called, ElementsAre(1, 2));
}

TEST_F(EpollLoopTest, AWatchThatEndsLateTakesNothingFromWhoGotItsNumber) {
  auto first = std::make_optional<FileDescriptor>(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  auto old_watch = loop.watch(first->get(), [this] { called.push_back(1); });
  first.reset();
  const FileDescriptor second = readable();
  const auto new_watch = loop.watch(second.get(), [this] {
    called.push_back(2);
    loop.stop();
  });
  old_watch.reset();
  run_for(5s);
  EXPECT_THAT(called, ElementsAre(2));
}

TEST_F(EpollLoopTest, TimersAreCalledInTheirOrderAndOnce) {
  const auto late = loop.timer([this] { called.push_back(2); });
  const auto early = loop.timer([this] { called.push_back(1); });
  const auto never = loop.timer([this] { called.push_back(3); });
  const TimePoint now = clock.now();
  late->set(now + 20ms);
  early->set(now + 10ms);
  never->set(now + 15ms);
  never->set(TimePoint::max());
  run_for(60ms);
  EXPECT_THAT(called, ElementsAre(1, 2));
}

TEST_F(EpollLoopTest, ATimerThatIsAlwaysDueStarvesNobody) {
  const FileDescriptor fd = readable();
  std::unique_ptr<Loop::Timer> eager;
  int turns = 0;
  eager = loop.timer([&] {
    if (++turns == 1'000'000) return loop.stop();
    eager->set(loop.now());
  });
  eager->set(loop.now());
  const auto watch = loop.watch(fd.get(), [this] {
    called.push_back(1);
    loop.stop();
  });
  loop.run();
  EXPECT_THAT(called, ElementsAre(1));
}

TEST_F(EpollLoopTest, WhatIsDeferredIsDoneBeforeTheLoopWaits) {
  loop.defer([this] {
    called.push_back(1);
    loop.defer([this] {
      called.push_back(2);
      loop.stop();
    });
  });
  loop.run();
  EXPECT_THAT(called, ElementsAre(1, 2));
}

}  // namespace
}  // namespace ptrain::os
