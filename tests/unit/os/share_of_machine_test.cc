#include "libcommon/os/share_of_machine.h"

#include <fstream>
#include <thread>

#include <gtest/gtest.h>
#include <sched.h>

#include "tests/unit/os/temporary_directory.h"

namespace ptrain::os {
namespace {

// A /proc and a /sys/fs/cgroup of files.
class FakeMachine : public testing::Test {
 protected:
  void write(const std::string& path, const std::string& text) {
    const auto file = root() / path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  void available(std::uint64_t kib) {
    write("proc/meminfo",
          "MemTotal:       99999999 kB\nMemAvailable: " + std::to_string(kib) + " kB\n");
  }
  void unified(const std::string& group) {
    write("proc/self/cgroup", "0::" + group + "\n");
    write("proc/self/mountinfo", "9 1 0:5 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n");
  }
  std::filesystem::path root() const { return directory_.path(); }
  ShareOfMachine read() const { return read_share_of_machine(root()); }

 private:
  TemporaryDirectory directory_;
};

TEST_F(FakeMachine, WithoutFilesNothingIsLimited) {
  const ShareOfMachine share = read();
  EXPECT_GE(share.processors, 1);
  EXPECT_GE(share.permitted, 1);
  EXPECT_EQ(share.quota, std::nullopt);
  EXPECT_EQ(share.memory, std::nullopt);
  EXPECT_EQ(share.threads(), share.permitted);
}

TEST_F(FakeMachine, TheLeastQuotaAlongThePathHolds) {
  unified("/slice/box");
  write("sys/fs/cgroup/slice/box/cpu.max", "400000 100000\n");
  write("sys/fs/cgroup/slice/cpu.max", "150000 100000\n");
  EXPECT_EQ(read().quota, 1.5);
  write("sys/fs/cgroup/slice/cpu.max", "max 100000\n");
  EXPECT_EQ(read().quota, 4.0);
}

TEST_F(FakeMachine, MemoryIsTheLeastOfWhatIsAvailableAndTheLimits) {
  unified("/slice/box");
  available(4 << 20);
  EXPECT_EQ(read().memory, ByteCount(4ull << 30));
  EXPECT_FALSE(read().memory_limited_by_cgroup);
  write("sys/fs/cgroup/slice/box/memory.max", "max\n");
  write("sys/fs/cgroup/slice/memory.max", "1073741824\n");
  EXPECT_EQ(read().memory, ByteCount(1ull << 30));
  EXPECT_TRUE(read().memory_limited_by_cgroup);
  available(1 << 19);
  EXPECT_EQ(read().memory, ByteCount(1ull << 29));
  EXPECT_FALSE(read().memory_limited_by_cgroup);
}

TEST_F(FakeMachine, TheOldHierarchyLimitsAsWell) {
  write("proc/self/cgroup", "3:memory:/box\n2:cpu,cpuacct:/box\n0::/\n");
  write("proc/self/mountinfo",
        "7 1 0:5 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
        "8 1 0:6 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n");
  write("sys/fs/cgroup/cpu/box/cpu.cfs_quota_us", "50000\n");
  write("sys/fs/cgroup/cpu/box/cpu.cfs_period_us", "100000\n");
  write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
  write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  write("sys/fs/cgroup/memory/box/memory.limit_in_bytes", "2147483648\n");
  write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_EQ(read().quota, 0.5);
  EXPECT_EQ(read().threads(), 1);
  EXPECT_EQ(read().memory, ByteCount(2ull << 30));
}

// In a thread of its own, whose affinity dies with it.
TEST_F(FakeMachine, AffinityIsCounted) {
  int permitted = 0;
  std::thread([&] {
    const int here = sched_getcpu();
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(here, &one);
    ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
    permitted = read().permitted;
  }).join();
  EXPECT_EQ(permitted, 1);
}

TEST(ShareOfMachine, ThreadsAreAPartOfAProcessorRoundedUp) {
  const auto threads = [](int permitted, std::optional<double> quota) {
    return ShareOfMachine{.processors = 8, .permitted = permitted, .quota = quota}.threads();
  };
  EXPECT_EQ(threads(8, std::nullopt), 8);
  EXPECT_EQ(threads(3, std::nullopt), 3);
  EXPECT_EQ(threads(8, 0.01), 1);
  EXPECT_EQ(threads(8, 1.0), 1);
  EXPECT_EQ(threads(8, 1.5), 2);
  EXPECT_EQ(threads(8, 64.0), 8);
  EXPECT_EQ(threads(1, 1.5), 1);
}

TEST(ShareOfMachine, SaysWhatLimitsIt) {
  ShareOfMachine share{.processors = 8, .permitted = 8};
  EXPECT_EQ(describe(share, 8, ThreadsBy::machine), "8 threads on 8 processors");
  EXPECT_EQ(describe(share, 1, ThreadsBy::request), "1 thread (as told, on 8 processors)");
  EXPECT_EQ(describe(share, 1, ThreadsBy::size_of_work),
            "1 thread (more would not speed up a job of this size, on 8 processors)");
  EXPECT_EQ(describe(share, 8, ThreadsBy::request), "8 threads on 8 processors");
  share.permitted = 2;
  EXPECT_EQ(describe(share, 2, ThreadsBy::machine), "2 threads (affinity to 2 of 8 processors)");
  share.quota = 1.5;
  share.memory = ByteCount(3328599654);
  EXPECT_EQ(describe(share, 2, ThreadsBy::machine),
            "2 threads (cgroup quota 1.5 of 8 processors), 3.1 GiB of memory");
  share.memory_limited_by_cgroup = true;
  EXPECT_EQ(describe({.processors = 1, .permitted = 1, .memory = share.memory}, 1,
                     ThreadsBy::size_of_work),
            "1 thread on 1 processor, 3.1 GiB of memory");
  EXPECT_EQ(describe(share, 4, ThreadsBy::request),
            "4 threads (as told, on 8 processors), 3.1 GiB of memory (cgroup limit)");
}

}  // namespace
}  // namespace ptrain::os
