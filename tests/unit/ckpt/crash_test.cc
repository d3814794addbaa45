// What is left on a real disk of a save that failed or was killed: everything that had
// been acknowledged, and nothing that looks complete without being so. What a crash of
// the whole machine leaves is tests/crash's subject.

#include <csignal>
#include <random>
#include <set>
#include <thread>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libcommon/ckpt/checkpoint_reader.h"
#include "libcommon/ckpt/store.h"
#include "libcommon/os/atomic_file.h"
#include "libcommon/os/file_descriptor.h"
#include "tests/unit/ckpt/error_of.h"
#include "tests/unit/ckpt/sample_checkpoint.h"
#include "tests/unit/os/faulty_storage.h"
#include "tests/unit/os/temporary_directory.h"

namespace ptrain::ckpt {
namespace {

using Cut = std::vector<std::int64_t>;
const Cut kCut = {2, 4};

class CrashTest : public ::testing::Test {
 protected:
  // Every step that is listed as complete verifies to its last byte; returns them.
  std::set<Step> verified() {
    std::set<Step> steps;
    for (const StepInfo& info : store_.list()) {
      if (info.state != StepState::complete) continue;
      CheckpointReader(disk_, store_.step_directory(info.step)).verify_data();
      steps.insert(info.step);
    }
    return steps;
  }
  std::size_t leftovers(Step step) {
    std::size_t count = 0;
    for (const auto& name : disk_.list(store_.step_directory(step))) {
      count += name.starts_with(os::kTemporaryPrefix) ? 1 : 0;
    }
    return count;
  }

  os::TemporaryDirectory directory_;
  os::PosixStorage disk_;
  CheckpointStore store_{disk_, directory_.path() / "ckpt", "test"};
  os::FaultyStorage never_failing_{disk_};  // spares the fsyncs
  CheckpointStore quick_{never_failing_, directory_.path() / "ckpt", "test"};
};

TEST_F(CrashTest, ASaveThatFailsAnywhereLosesNothingAndCanBeRepeated) {
  SampleCheckpoint(Step(10)).save(quick_, kCut);
  const SampleCheckpoint next(Step(20));
  for (const int error_number : {ENOSPC, EIO}) {
    for (std::size_t failing = 0;; ++failing) {
      os::FaultyStorage storage(disk_, failing, error_number);
      CheckpointStore store(storage, directory_.path() / "ckpt", "test");
      bool acknowledged = false;
      try {
        next.save(store, kCut);
        acknowledged = true;
      } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::io) << error.what();
      }
      const auto steps = verified();
      EXPECT_TRUE(steps.contains(Step(10)));
      if (acknowledged) {
        EXPECT_TRUE(steps.contains(Step(20)));
      }
      EXPECT_EQ(leftovers(Step(20)), 0u) << "operation " << failing;
      next.save(quick_, kCut);
      EXPECT_TRUE(verified().contains(Step(20)));
      quick_.remove_step(Step(20));
      if (!storage.failed()) break;  // the save has no operation beyond
    }
  }
}

// Saves step after step and writes each one's number to the pipe once it is saved.
[[noreturn]] void save_until_killed(const std::filesystem::path& directory, int pipe) {
  os::PosixStorage disk;
  CheckpointStore store(disk, directory, "child");
  for (std::uint64_t step = 1;; ++step) {
    SampleCheckpoint(Step(step)).save(store, kCut);
    if (::write(pipe, &step, sizeof(step)) != sizeof(step)) ::_exit(1);
    if (step > 2) store.remove_step(Step(step - 2));
  }
}

TEST_F(CrashTest, AKilledWriterLeavesEveryAcknowledgedStepWhole) {
  constexpr int kRuns = 20;
  constexpr int kLongestRunMs = 300;
  std::mt19937 random(7);
  for (int run = 0; run < kRuns; ++run) {
    std::filesystem::remove_all(store_.directory());
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    os::FileDescriptor read_end(ends[0]);
    os::FileDescriptor write_end(ends[1]);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) save_until_killed(store_.directory(), write_end.get());
    write_end.reset();
    std::this_thread::sleep_for(std::chrono::milliseconds(random() % kLongestRunMs));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    std::uint64_t acknowledged = 0;
    std::uint64_t step = 0;
    while (::read(read_end.get(), &step, sizeof(step)) == sizeof(step)) acknowledged = step;
    const auto steps = verified();
    if (acknowledged > 0) {
      EXPECT_TRUE(steps.contains(Step(acknowledged))) << "run " << run;
    }
    // The next save of that writer clears what the dead one left.
    CheckpointStore heir(disk_, store_.directory(), "child");
    SampleCheckpoint(Step(acknowledged + 1)).save(heir, kCut);
    EXPECT_EQ(leftovers(Step(acknowledged + 1)), 0u);
  }
}

TEST_F(CrashTest, AFileSizeLimitInTheMiddleOfASaveLeavesThePreviousStep) {
  SampleCheckpoint(Step(10)).save(store_, kCut);
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{4096, before.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &small);
  const std::string what =
      error_of([&] { SampleCheckpoint(Step(20)).save(store_, kCut); }, ErrorKind::io);
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_NE(what.find("step-00000020"), std::string::npos) << what;
  EXPECT_EQ(verified(), std::set<Step>{Step(10)});
  EXPECT_EQ(leftovers(Step(20)), 0u);
}

// Fills a small file system with checkpoints; the exit code tells what went wrong.
int fill_small_disk(const std::filesystem::path& mount_point) {
  const int namespaces = CLONE_NEWNS | (::geteuid() == 0 ? 0 : CLONE_NEWUSER);
  if (::unshare(namespaces) != 0) return 10;
  ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
  if (::mount("tmpfs", mount_point.c_str(), "tmpfs", 0, "size=512k") != 0) return 11;
  os::PosixStorage disk;
  CheckpointStore store(disk, mount_point, "test");
  std::uint64_t step = 1;
  try {
    while (step < 1000) SampleCheckpoint(Step(step)).save(store, kCut), ++step;
    return 12;  // never full
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::io || error.hint().empty()) return 13;
    if (std::string(error.what()).find("No space left on device") == std::string::npos) return 14;
  }
  for (const StepInfo& info : store.list()) {
    if ((info.state == StepState::complete) != (info.step < Step(step))) return 15;
    if (info.state != StepState::complete) continue;
    CheckpointReader(disk, store.step_directory(info.step)).verify_data();
  }
  // Room again: the same step is saved as if nothing had happened.
  store.remove_step(Step(1));
  SampleCheckpoint(Step(step)).save(store, kCut);
  return store.newest_complete()->step == Step(step) ? 0 : 16;
}

TEST_F(CrashTest, AFullFileSystemLeavesWhatWasSavedAndWorksAgainWhenThereIsRoom) {
  const std::filesystem::path mount_point = directory_.path() / "mount";
  std::filesystem::create_directory(mount_point);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    int code = 17;
    try {
      code = fill_small_disk(mount_point);
    } catch (const std::exception& error) {
      ::perror(error.what());
    }
    ::_exit(code);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 10 || WEXITSTATUS(status) == 11) {
    GTEST_SKIP() << "this host lets nobody mount a file system of their own";
  }
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace ptrain::ckpt
