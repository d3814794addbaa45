#include "libcommon/os/descriptor_limit.h"

#include <vector>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include "libcommon/os/file_descriptor.h"

namespace ptrain::os {
namespace {

class LowLimit : public testing::Test {
 protected:
  LowLimit() {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    rlimit low = before_;
    low.rlim_cur = 64;
    ::setrlimit(RLIMIT_NOFILE, &low);
  }
  ~LowLimit() override { ::setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
};

FileDescriptor another() { return FileDescriptor(::open("/dev/null", O_RDONLY | O_CLOEXEC)); }

TEST_F(LowLimit, WhatIsOpenIsNotLeft) {
  const std::size_t left = descriptors_left();
  ASSERT_GT(left, 10u);
  ASSERT_LT(left, 64u);
  {
    const FileDescriptor one = another();
    const FileDescriptor two = another();
    EXPECT_EQ(descriptors_left(), left - 2);
  }
  EXPECT_EQ(descriptors_left(), left);
}

TEST_F(LowLimit, AsManyAreLeftAsCanBeOpened) {
  const std::size_t left = descriptors_left();
  std::vector<FileDescriptor> all;
  while (true) {
    FileDescriptor next = another();
    if (next.get() < 0) break;
    all.push_back(std::move(next));
  }
  EXPECT_EQ(all.size(), left);
  EXPECT_EQ(descriptors_left(), 0u);
}

}  // namespace
}  // namespace ptrain::os
