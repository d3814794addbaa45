#include "tools/stage/engine/lane_sum.h"

#include <initializer_list>
#include <set>

#include <gtest/gtest.h>

namespace ptrain::stage {
namespace {

TEST(LaneSumPart, EveryNameOfAPartHasANumberOfItsOwnAndComesBack) {
  std::set<std::uint64_t> numbers;
  std::set<reduce::PartName> names;
  for (const auto kind : {reduce::PartKind::subtotal, reduce::PartKind::total}) {
    for (const std::uint32_t first : {0u, 1u, reduce::kMaxLanes - 1}) {
      for (const std::uint32_t end : {first + 1, reduce::kMaxLanes}) {
        for (const std::uint32_t piece : {0u, 1u, UINT32_MAX}) {
          const reduce::PartName part{.kind = kind, .lanes = {first, end}, .piece = piece};
          EXPECT_EQ(part_of(number_of(part)), part);
          numbers.insert(number_of(part));
          names.insert(part);
        }
      }
    }
  }
  EXPECT_EQ(numbers.size(), names.size());
}

}  // namespace
}  // namespace ptrain::stage
