#include "tools/ckpt/byte_work.h"

#include <csignal>

#include <gtest/gtest.h>

#include "libcommon/cli/early_end.h"

namespace ptrain::ckpt_tool {
namespace {

TEST(ByteWork, ASignalEndsTheWorkAtItsNextByteWithTheSignalsCode) {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    std::signal(signal, SIG_DFL);  // what is ignored, as in a script's background, stays so
    ByteWork work;
    work.begin("verify", ByteCount(100));
    const ckpt::Progress progress = work.progress();
    progress(ByteCount(10));
    ::testing::internal::CaptureStderr();  // where the signal is acknowledged
    ASSERT_EQ(std::raise(signal), 0);
    int code = 0;
    try {
      progress(ByteCount(10));
    } catch (const cli::EarlyEnd& end) {
      code = end.exit_code;
    }
    ::testing::internal::GetCapturedStderr();
    EXPECT_EQ(code, 128 + signal);
  }
}

}  // namespace
}  // namespace ptrain::ckpt_tool
