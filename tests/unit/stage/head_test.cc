#include "tools/stage/model/head.h"

#include <algorithm>

#include <gtest/gtest.h>

namespace ptrain::stage {
namespace {

std::int64_t on_cpu(std::int64_t rows, std::int64_t vocab) {
  return logits_rows(rows, vocab, at::kCPU);
}

TEST(LogitsRows, OfASmallVocabularyAreAllThatThereAre) {
  for (const std::int64_t rows : {1, 64, 65, 1024, 2048}) EXPECT_EQ(on_cpu(rows, 256), rows);
}

TEST(LogitsRows, OfALargeVocabularyAreEnoughForAProductAndInItsBlocks) {
  for (const std::int64_t vocab : {32000, 32768, 50257, 128256}) {
    for (const std::int64_t rows : {1, 63, 65, 256, 1024, 2048, 4096, 65536}) {
      const std::int64_t chunk = on_cpu(rows, vocab);
      EXPECT_GE(chunk, std::min<std::int64_t>(rows, 256)) << rows << " of " << vocab;
      EXPECT_LE(chunk, 512) << rows << " of " << vocab;
      EXPECT_TRUE(chunk == rows || chunk % 64 == 0) << rows << " of " << vocab;
    }
  }
}

TEST(LogitsRows, StayInTheCacheWhereThatIsEnoughRows) {
  for (const std::int64_t vocab : {256, 1000, 3000, 4096}) {
    const std::int64_t chunk = on_cpu(1 << 20, vocab);
    EXPECT_EQ(chunk % 64, 0);
    EXPECT_LE(chunk * vocab * 4, 8 << 20);
    EXPECT_GT((chunk + 64) * vocab * 4, 7 << 20);
  }
}

TEST(LogitsRows, LeaveNoSmallRest) {
  for (std::int64_t rows = 513; rows < 4096; ++rows) {
    const std::int64_t chunk = on_cpu(rows, 32000);
    const std::int64_t chunks = (rows + chunk - 1) / chunk;
    EXPECT_EQ(chunks, (rows + 511) / 512) << rows;
    EXPECT_GT(rows - (chunks - 1) * chunk, chunk - 64 * chunks) << rows;
  }
}

}  // namespace
}  // namespace ptrain::stage
