#include "libcommon/job/stage_span.h"

#include <cstdint>

#include <gtest/gtest.h>

namespace ptrain::job {
namespace {

TEST(StageSpan, OfBlocksHasThemAgain) {
  for (std::int64_t begin = 0; begin < 7; ++begin) {
    for (std::int64_t end = begin; end < 8; ++end) {
      const StageSpan span = span_of_blocks(begin, end);
      EXPECT_EQ(span.block_begin(), begin);
      EXPECT_EQ(span.block_end(), end);
      EXPECT_EQ(span.blocks(), end - begin);
      EXPECT_EQ(cuts_a_layer(span), begin % 2 == 1 || end % 2 == 1) << begin << " to " << end;
    }
  }
}

TEST(StageSpan, OfWholeLayersIsTheirs) {
  EXPECT_EQ(span_of_blocks(2, 8), (StageSpan{1, 4, false, false}));
  EXPECT_EQ(span_of_blocks(3, 8), (StageSpan{1, 4, false, false, true, false}));
  EXPECT_EQ(span_of_blocks(2, 7), (StageSpan{1, 4, false, false, false, true}));
}

TEST(StageSpan, IsSaidInWords) {
  EXPECT_EQ(text_of(StageSpan{0, 4, true, true}), "embedding, layers 0 to 3, head");
  EXPECT_EQ(text_of(StageSpan{3, 4, false, false}), "layer 3");
  EXPECT_EQ(text_of(StageSpan{0, 3, true, false, false, true}),
            "embedding, layers 0 to 1, attention of layer 2");
  EXPECT_EQ(text_of(StageSpan{2, 5, false, true, true, false}),
            "MLP of layer 2, layers 3 to 4, head");
  EXPECT_EQ(text_of(StageSpan{2, 4, false, false, true, true}),
            "MLP of layer 2, attention of layer 3");
  EXPECT_EQ(text_of(span_of_blocks(4, 5)), "attention of layer 2");
  EXPECT_EQ(text_of(span_of_blocks(5, 6)), "MLP of layer 2");
}

}  // namespace
}  // namespace ptrain::job
