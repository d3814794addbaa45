// A log of what was sent dies with its process: whatever a crash leaves of its files, the next log
// begins empty, and touches nothing else.

#include "libcommon/elastic/sender_log.h"

#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/crash/crash_storage.h"

namespace ptrain::crash {
namespace {

using ::testing::ElementsAre;

constexpr job::CellIndex kCell{};

wire::Message message_of(std::uint64_t step, std::size_t bytes) {
  wire::Message message;
  message.name.step = Step(step);
  message.payload = wire::Buffer::copy_of(std::vector<std::byte>(bytes, std::byte(step)));
  return message;
}

elastic::SenderLogLimits small_limits() {
  return {.memory = ByteCount(6000), .disk = ByteCount(100000), .file = ByteCount(1500)};
}

TEST(SenderLogCrashTest, TheNextLogBeginsEmptyWhateverACrashLeaves) {
  std::mt19937_64 random(16);
  std::vector<DiskImage> left;
  {
    const auto keep = [&](const DiskModel& disk, const std::string&) {
      for (DiskImage& image : disk.crash_states(random)) left.push_back(std::move(image));
    };
    DiskImage empty;
    empty["/run"] = nullptr;
    CrashStorage disk(empty, keep);
    elastic::SenderLog log(disk, "/run/sent", small_limits());
    disk.create("/run/sent/mine.txt");
    for (std::uint64_t step = 0; step < 12; ++step) {
      log.reserve(1, ByteCount(1000));
      log.add(kCell, message_of(step, 1000));
      if (step == 8) log.forget(kCell, Step(6));
    }
  }
  ASSERT_GT(left.size(), 50u);
  for (const DiskImage& image : left) {
    CrashStorage disk(image);
    if (!disk.status("/run")) continue;
    const bool has_mine = disk.status("/run/sent/mine.txt").has_value();
    elastic::SenderLog log(disk, "/run/sent", small_limits());
    EXPECT_EQ(log.size(), elastic::SenderLogSize{});
    if (has_mine) {
      EXPECT_THAT(disk.list("/run/sent"), ElementsAre("mine.txt", "sent-000001.log"));
    } else {
      EXPECT_THAT(disk.list("/run/sent"), ElementsAre("sent-000001.log"));
    }
    log.add(kCell, message_of(3, 10));
    elastic::ReplayPoint point;
    EXPECT_EQ(log.replay(kCell, point)->name.step, Step(3));
  }
}

}  // namespace
}  // namespace ptrain::crash
