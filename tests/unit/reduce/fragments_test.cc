#include "libcommon/reduce/fragments.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libcommon/base/error.h"
#include "libcommon/reduce/edge_codec.h"
#include "tests/unit/reduce/lane_numbers.h"

namespace ptrain::reduce {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<VectorPart> model_of(std::uint32_t layers) {
  std::vector<VectorPart> parts{{.place = PartPlace::embedding, .layer = 0, .elements = 1000}};
  for (std::uint32_t layer = 0; layer < layers; ++layer) {
    parts.push_back({.place = PartPlace::layer, .layer = layer, .elements = 5000});
  }
  parts.push_back({.place = PartPlace::ending, .layer = 0, .elements = 10});
  return parts;
}

TEST(VectorLayout, EveryPartTakesWholeBlocks) {
  const VectorLayout layout = lay_out(model_of(2));
  EXPECT_THAT(layout.parts, ElementsAre(ElementRange{0, 1000}, ElementRange{4096, 5000},
                                        ElementRange{3 * 4096, 5000}, ElementRange{5 * 4096, 10}));
  EXPECT_EQ(layout.elements, 6U * 4096);
  EXPECT_EQ(lay_out({}).elements, 0U);
  const std::vector<VectorPart> whole{{.elements = kBlockElements}, {.elements = 1}};
  EXPECT_EQ(lay_out(whole).parts[1].first, kBlockElements);
}

TEST(VectorLayout, HasAtMostSoManyElements) {
  const std::vector<VectorPart> most{{.elements = kMaxElements - kBlockElements}, {.elements = 1}};
  EXPECT_EQ(lay_out(most).elements, kMaxElements);
  const std::vector<VectorPart> more{{.elements = kMaxElements}, {.elements = 1}};
  EXPECT_THROW(lay_out(more), Error);
  const std::vector<VectorPart> huge{{.elements = 1}, {.elements = ~std::uint64_t{0}}};
  EXPECT_THROW(lay_out(huge), Error);
}

// What the layout is for: a part by itself, and behind others, becomes the same.
TEST(VectorLayout, NoCodecSeesWhichPartsLieTogether) {
  const std::vector<VectorPart> parts = model_of(3);
  const VectorLayout together = lay_out(parts);
  std::vector<float> all(together.elements);
  std::vector<std::vector<float>> numbers;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    numbers.push_back(lane_numbers(parts[i].elements, i));
    std::memcpy(&all[together.parts[i].first], numbers[i].data(),
                numbers[i].size() * sizeof(float));
  }
  for (std::uint8_t kind = 0; kind < kEdgeCodecKinds; ++kind) {
    const EdgeCodec& codec = edge_codec(static_cast<EdgeCodecKind>(kind));
    const auto there_and_back = [&](std::vector<float> values) {
      std::vector<std::byte> bytes(codec.encoded_size(values.size()).value());
      EXPECT_FALSE(codec.encode(values, bytes));
      codec.decode(bytes, values);
      return values;
    };
    const std::vector<float> whole = there_and_back(all);
    for (std::size_t i = 0; i < parts.size(); ++i) {
      const VectorLayout alone = lay_out(std::span(parts).subspan(i, 1));
      std::vector<float> padded = numbers[i];
      padded.resize(alone.elements);
      padded = there_and_back(padded);
      EXPECT_EQ(std::memcmp(&whole[together.parts[i].first], padded.data(),
                            parts[i].elements * sizeof(float)),
                0)
          << codec.name() << ", part " << i;
    }
  }
}

TEST(Fragments, OneHasEverything) {
  EXPECT_EQ(fragment_count(1), 1U);
  EXPECT_THAT(parts_of(1, FragmentIndex(0), model_of(3)), ElementsAre(0, 1, 2, 3, 4));
}

TEST(Fragments, EachHasLayersOfAllDepthsAndTheEndsAreApart) {
  EXPECT_EQ(fragment_count(3), 5U);
  const std::vector<VectorPart> parts = model_of(7);
  EXPECT_THAT(parts_of(3, FragmentIndex(0), parts), ElementsAre(1, 4, 7));
  EXPECT_THAT(parts_of(3, FragmentIndex(1), parts), ElementsAre(2, 5));
  EXPECT_THAT(parts_of(3, FragmentIndex(2), parts), ElementsAre(3, 6));
  EXPECT_THAT(parts_of(3, FragmentIndex(3), parts), ElementsAre(0));
  EXPECT_THAT(parts_of(3, FragmentIndex(4), parts), ElementsAre(8));
  // A stage's part of the model has its layers in the same ones.
  const std::span stage = std::span(parts).subspan(3, 3);  // layers 2 to 4
  EXPECT_THAT(parts_of(3, FragmentIndex(0), stage), ElementsAre(1));
  EXPECT_THAT(parts_of(3, FragmentIndex(2), stage), ElementsAre(0));
  EXPECT_THAT(parts_of(3, FragmentIndex(3), stage), IsEmpty());
}

TEST(OuterSchedule, OfOneFragmentIsDiLoCo) {
  const OuterSchedule schedule{.steps = 25, .every = 10};
  for (std::uint64_t step = 1; step <= 25; ++step) {
    const bool turn = step == 10 || step == 20 || step == 25;
    const std::vector<Exchange> expected =
        turn ? std::vector<Exchange>{{FragmentIndex(0), step}} : std::vector<Exchange>{};
    EXPECT_EQ(begin_after(schedule, step), expected);
    EXPECT_EQ(end_after(schedule, step), expected);
  }
}

TEST(OuterSchedule, OverlapsAnExchangeWithTheStepsThatFollowAndEndsItAllInTheEnd) {
  const OuterSchedule schedule{.steps = 22, .every = 10, .fragments = 1, .overlap = 5};
  EXPECT_THAT(begin_after(schedule, 10), ElementsAre(Exchange{FragmentIndex(0), 10}));
  EXPECT_THAT(end_after(schedule, 10), IsEmpty());
  EXPECT_THAT(end_after(schedule, 15), ElementsAre(Exchange{FragmentIndex(0), 10}));
  EXPECT_THAT(begin_after(schedule, 22), ElementsAre(Exchange{FragmentIndex(0), 22}));
  EXPECT_THAT(end_after(schedule, 22),
              ElementsAre(Exchange{FragmentIndex(0), 20}, Exchange{FragmentIndex(0), 22}));
}

// Whatever the schedule is: each fragment has its turn in any `every` steps in a row, one at a
// time, what begins ends once and in time, and after the last step nothing is left out.
TEST(OuterSchedule, GivesEveryFragmentItsTurn) {
  for (const OuterSchedule& schedule :
       {OuterSchedule{.steps = 100, .every = 30, .fragments = 1, .overlap = 29},
        OuterSchedule{.steps = 97, .every = 10, .fragments = 4, .overlap = 3},
        OuterSchedule{.steps = 97, .every = 10, .fragments = 8, .overlap = 9},
        OuterSchedule{.steps = 3, .every = 50, .fragments = 3, .overlap = 20},
        OuterSchedule{.steps = 60, .every = 1, .fragments = 1, .overlap = 0},
        OuterSchedule{.steps = 60, .every = 7, .fragments = 2, .overlap = 5}}) {
    ASSERT_EQ(flaw_of(schedule), std::nullopt);
    const std::uint32_t count = fragment_count(schedule.fragments);
    std::map<FragmentIndex, std::uint64_t> last_begun;
    std::map<FragmentIndex, std::uint64_t> under_way;
    for (std::uint64_t step = 1; step <= schedule.steps; ++step) {
      const bool last = step == schedule.steps;
      // Those under way end before their fragment begins again.
      const std::vector<Exchange> ending = end_after(schedule, step);
      for (const Exchange& exchange : ending) {
        if (exchange.begun_after == step) continue;
        ASSERT_EQ(under_way.at(exchange.fragment), exchange.begun_after);
        ASSERT_TRUE(last || step == exchange.begun_after + schedule.overlap);
        under_way.erase(exchange.fragment);
      }
      const std::vector<Exchange> beginning = begin_after(schedule, step);
      if (!last) {
        ASSERT_LE(beginning.size(), 1U);
      }
      for (const Exchange& exchange : beginning) {
        ASSERT_EQ(exchange.begun_after, step);
        ASSERT_TRUE(under_way.emplace(exchange.fragment, step).second);
        ASSERT_LE(step - last_begun[exchange.fragment], schedule.every);
        last_begun[exchange.fragment] = step;
      }
      for (const Exchange& exchange : ending) {
        if (exchange.begun_after != step) continue;
        ASSERT_TRUE(last || schedule.overlap == 0);
        ASSERT_EQ(under_way.erase(exchange.fragment), 1U);
      }
    }
    EXPECT_TRUE(under_way.empty());
    ASSERT_EQ(last_begun.size(), count);
    for (const auto& [fragment, step] : last_begun) EXPECT_EQ(step, schedule.steps);
  }
}

TEST(OuterSchedule, HasLimits) {
  const auto flawed = [](const OuterSchedule& schedule) { return flaw_of(schedule).has_value(); };
  EXPECT_FALSE(flawed({.steps = 1, .every = 1}));
  EXPECT_TRUE(flawed({.steps = 0, .every = 1}));
  EXPECT_TRUE(flawed({.steps = 1, .every = 0}));
  EXPECT_TRUE(flawed({.steps = 1, .every = 1, .fragments = 0}));
  EXPECT_FALSE(flawed({.steps = 1, .every = 5, .fragments = 3}));
  EXPECT_TRUE(flawed({.steps = 1, .every = 4, .fragments = 3}));
  EXPECT_FALSE(flawed({.steps = 1, .every = 9000, .fragments = kMaxFragments}));
  EXPECT_TRUE(flawed({.steps = 1, .every = 9000, .fragments = kMaxFragments + 1}));
  EXPECT_FALSE(flawed({.steps = 1, .every = 5, .fragments = 1, .overlap = 4}));
  EXPECT_TRUE(flawed({.steps = 1, .every = 5, .fragments = 1, .overlap = 5}));
}

}  // namespace
}  // namespace ptrain::reduce
