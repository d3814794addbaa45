#include "libcommon/metrics/process_memory.h"

#include <cstring>
#include <vector>

#include <gtest/gtest.h>

namespace ptrain::metrics {
namespace {

TEST(ProcessMemory, GrowsByWhatIsTouchedAndRemembersItsPeak) {
  constexpr std::size_t kBytes = 64 << 20;
  const std::uint64_t before = rss_bytes();
  {
    std::vector<char> block(kBytes);
    std::memset(block.data(), 1, block.size());
    EXPECT_GE(rss_bytes(), before + kBytes / 2);
  }
  EXPECT_GE(peak_rss_bytes(), before + kBytes / 2);
}

}  // namespace
}  // namespace ptrain::metrics
