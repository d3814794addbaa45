#include "libcommon/os/memory_error.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ptrain::os {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::uint64_t kPebibyte = std::uint64_t{1} << 50;

TEST(MemoryError, SaysWhatWasNeededAndWhatThereIs) {
  const Error error = memory_error("a tensor", ByteCount(3 << 19), ByteCount(1000), "buy some");
  EXPECT_EQ(error.kind(), ErrorKind::try_again);
  EXPECT_STREQ(error.what(), "out of memory for a tensor: 1.5 MiB needed, 1000 bytes available");
  EXPECT_EQ(error.hint(), "buy some");
}

TEST(MemoryError, LeavesOutWhatIsNotKnown) {
  EXPECT_STREQ(memory_error("x", std::nullopt, ByteCount(7)).what(),
               "out of memory for x: 7 bytes available");
  EXPECT_STREQ(memory_error("x", ByteCount(kPebibyte), std::nullopt).what(),
               "out of memory for x: 1.0 PiB needed");
  EXPECT_STREQ(memory_error("x", std::nullopt, std::nullopt).what(), "out of memory for x");
}

TEST(AvailableMemory, IsWhatTheKernelSays) {
  const auto available = available_memory();
  ASSERT_TRUE(available.has_value());
  EXPECT_GT(available->value(), std::uint64_t{1} << 20);
  EXPECT_LT(available->value(), kPebibyte);
}

TEST(RequireMemory, RefusesMoreThanThereIs) {
  require_memory("a page", ByteCount(4096));
  try {
    require_memory("the moon", ByteCount(kPebibyte));
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::try_again);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("the moon: 1.0 PiB needed"), HasSubstr("available")));
  }
}

#ifndef PTRAIN_SANITISED  // sanitizers have an operator new of their own

TEST(AllocationFailureTest, OfAContainerKnowsItsSize) {
  try {
    const std::string text(std::size_t{1} << 50, 'x');
    FAIL() << "a pebibyte was had: " << text.size();
  } catch (const std::bad_alloc& failure) {
    const Error error = memory_error(failure);
    EXPECT_EQ(error.kind(), ErrorKind::try_again);
    EXPECT_THAT(error.what(), HasSubstr("1.0 PiB needed, "));
  }
}

#endif

}  // namespace
}  // namespace ptrain::os
