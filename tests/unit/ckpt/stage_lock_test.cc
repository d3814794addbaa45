#include "libcommon/ckpt/stage_lock.h"

#include <array>
#include <csignal>
#include <optional>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libcommon/base/error.h"
#include "tests/unit/os/temporary_directory.h"

namespace ptrain::ckpt {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class AStageLock : public ::testing::Test {
 protected:
  StageLock take(std::uint32_t stage, const RunIdentity& run) {
    return {folder_, StageIndex(stage), run, log_};
  }
  // What is said where it cannot be taken; empty where it can.
  std::string refusal(std::uint32_t stage, const RunIdentity& run) {
    try {
      take(stage, run);
      return "";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::try_again);
      return error.what();
    }
  }

  os::TemporaryDirectory directory_;
  std::filesystem::path folder_ = directory_.path() / "new" / "ckpt";
  NullLog log_;
  RunIdentity run_{.stages = 2, .job_hash = "abc"};
};

TEST_F(AStageLock, IsHeldOnceAndNamesItsHolder) {
  const StageLock lock = take(0, run_);
  EXPECT_THAT(refusal(0, run_),
              AllOf(HasSubstr("ckpt is in use by another run: stage 0 of 2 in process " +
                              std::to_string(::getpid()) + " on "),
                    HasSubstr(".stage-00.lock")));
}

TEST_F(AStageLock, IsSharedByTheStagesOfOneRun) {
  const StageLock first = take(0, run_);
  EXPECT_EQ(refusal(1, run_), "");
}

TEST_F(AStageLock, KeepsOutTheStagesOfAnotherJobAndOfAnotherCut) {
  const StageLock lock = take(1, run_);
  EXPECT_THAT(refusal(0, {.stages = 2, .job_hash = "other"}), HasSubstr("stage 1 of 2"));
  EXPECT_THAT(refusal(0, {.stages = 3, .job_hash = "abc"}), HasSubstr("stage 1 of 2"));
}

TEST_F(AStageLock, EndsWithItsHolder) {
  std::optional<StageLock> lock(take(0, run_));
  lock.reset();
  EXPECT_EQ(refusal(0, {.stages = 5, .job_hash = "other"}), "");
  EXPECT_EQ(refusal(1, run_), "");
}

TEST_F(AStageLock, EndsWithAHolderThatIsKilled) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe(ends.data()), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const StageLock lock = take(0, run_);
    static_cast<void>(::write(ends[1], "x", 1) == 1);
    ::pause();
  }
  char ready = 0;
  ASSERT_EQ(::read(ends[0], &ready, 1), 1);
  EXPECT_THAT(refusal(0, run_), HasSubstr("process " + std::to_string(child)));
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_EQ(refusal(0, run_), "");
}

TEST_F(AStageLock, IsAnIoErrorWhereTheFolderIsNone) {
  std::filesystem::create_directories(folder_.parent_path());
  { const os::FileDescriptor file(::creat(folder_.c_str(), 0644)); }
  try {
    take(0, run_);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::io);
    EXPECT_THAT(error.what(), HasSubstr("ckpt"));
  }
}

}  // namespace
}  // namespace ptrain::ckpt
