#include "libcommon/net/loop_entry.h"

#include <cerrno>
#include <memory>
#include <utility>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "libcommon/base/error.h"
#include "libcommon/os/epoll_loop.h"
#include "libcommon/os/file_descriptor.h"

namespace ptrain::net {
namespace {

// A kernel that has no room for one more descriptor to watch (/proc/sys/fs/epoll/max_user_watches).
class FullLoop final : public os::Loop {
 public:
  explicit FullLoop(const Clock& clock) : loop_(clock) {}
  TimePoint now() const override { return loop_.now(); }
  std::unique_ptr<Watch> watch(int, Callback) override {
    throw io_error("watch a descriptor", ENOSPC);
  }
  std::unique_ptr<Timer> timer(Callback due) override { return loop_.timer(std::move(due)); }
  void defer(Callback callback) override { loop_.defer(std::move(callback)); }
  void post(Callback callback) override { loop_.post(std::move(callback)); }
  void run() override { loop_.run(); }
  void stop() override { loop_.stop(); }

 private:
  os::EpollLoop loop_;
};

TEST(LoopEntry, WhatCannotBeWatchedIsLookedAtNowAndThen) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
  const os::FileDescriptor reads(ends[0]);
  const os::FileDescriptor writes(ends[1]);
  SteadyClock clock;
  FullLoop loop(clock);
  int looks = 0;
  const LoopEntry entry(
      loop,
      LoopEntry::Polled{.add_poll_items = [&](auto& items) { items.push_back({.fd = ends[0]}); },
                        .process =
                            [&] {
                              ++looks;
                              char byte = 0;
                              if (::read(ends[0], &byte, 1) == 1) loop.stop();
                              if (looks == 1) {
                                EXPECT_EQ(::write(ends[1], "x", 1), 1);
                              }
                            },
                        .next_tick = [] { return TimePoint::max(); }});
  loop.run();
  EXPECT_EQ(looks, 2);
}

}  // namespace
}  // namespace ptrain::net
