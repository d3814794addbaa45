#include "libcommon/job/stage_layers.h"

#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ptrain::job {
namespace {

using ::testing::HasSubstr;

constexpr std::int64_t kMost = 12;

TEST(StageLayers, ReadBackFromTheirText) {
  for (const bool mlp : {false, true}) {
    for (const bool attention : {false, true}) {
      for (const std::int64_t whole : {0, 1, 12}) {
        const StageLayers layers(mlp, whole, attention);
        if (layers.blocks() == 0) continue;
        EXPECT_EQ(parse_stage_layers(text_of(layers), kMost), layers) << text_of(layers);
      }
    }
  }
  EXPECT_EQ(text_of(StageLayers(true, 3, true)), "mlp+3+attention");
  EXPECT_EQ(text_of(StageLayers(3)), "3");
  EXPECT_EQ(text_of(StageLayers(false, 0, true)), "attention");
}

TEST(StageLayers, HaveOneSpellingEach) {
  for (const char* text : {"",
                           "0",
                           "13",
                           "-1",
                           "+3",
                           "3+",
                           "03",
                           "3.5",
                           " 3",
                           "3 ",
                           "3+mlp",
                           "attention+3",
                           "mlp+mlp",
                           "mlp+0+attention",
                           "3+3",
                           "attention+attention",
                           "mlp++attention",
                           "MLP",
                           "mlp+",
                           "9223372036854775808",
                           "attention+mlp"}) {
    EXPECT_FALSE(parse_stage_layers(text, kMost)) << text;
  }
}

TEST(StageLayers, ACutInsideALayerHasAPartOnEitherSide) {
  const StageLayers until_attention{false, 2, true};
  const StageLayers from_mlp{true, 1, false};
  EXPECT_FALSE(open_cut({until_attention, from_mlp}));
  EXPECT_FALSE(open_cut({2, 3}));
  EXPECT_FALSE(open_cut({}));
  EXPECT_THAT(open_cut({until_attention, 1}).value_or(""), HasSubstr("stage 0 ends with"));
  EXPECT_THAT(open_cut({1, from_mlp}).value_or(""), HasSubstr("stage 1 begins with"));
  EXPECT_THAT(open_cut({from_mlp, 1}).value_or(""), HasSubstr("stage 0 begins with"));
  EXPECT_THAT(open_cut({1, until_attention}).value_or(""), HasSubstr("stage 1 ends with"));
}

TEST(StageLayers, AddUpToTheLayersOfTheModel) {
  EXPECT_EQ(layers_in_all({{false, 2, true}, {true, 0, true}, {true, 1, false}}), 5);
  EXPECT_EQ(layers_in_all({3, 4}), 7);
}

}  // namespace
}  // namespace ptrain::job
