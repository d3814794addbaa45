#include "libcommon/base/error.h"

#include <cerrno>

#include <gtest/gtest.h>

namespace ptrain {
namespace {

TEST(IoError, SaysWhatWasAttemptedAndWhyItFailed) {
  const Error error = io_error("open x.bin", ENOENT, "make it");
  EXPECT_STREQ(error.what(), "open x.bin: No such file or directory");
  EXPECT_EQ(error.hint(), "make it");
  EXPECT_EQ(error.kind(), ErrorKind::io);
}

TEST(IoError, MayWorkLaterWhereDescriptorsOrMemoryAreLacking) {
  for (const int lacking : {EMFILE, ENFILE, ENOMEM}) {
    EXPECT_EQ(io_error("list ckpt", lacking).kind(), ErrorKind::try_again) << lacking;
  }
}

}  // namespace
}  // namespace ptrain
