#include "tools/lab_link/link.h"

#include <array>

#include <gtest/gtest.h>

namespace ptrain::lab_link {
namespace {

// A frame of 60 bytes: to whom, and of which type.
std::array<std::byte, 60> frame_of(int first_byte_of_destination, int type) {
  std::array<std::byte, 60> frame{};
  frame[0] = static_cast<std::byte>(first_byte_of_destination);
  frame[12] = static_cast<std::byte>(type >> 8);
  frame[13] = static_cast<std::byte>(type & 0xff);
  return frame;
}

TEST(TheLine, CarriesWhatOneHostSendsToAnotherByIp) {
  EXPECT_TRUE(goes_over_the_line(frame_of(0x02, 0x0800)));
  EXPECT_TRUE(goes_over_the_line(frame_of(0x02, 0x86dd)));
}

TEST(TheLine, CarriesNeitherArpNorWhatIsForAll) {
  EXPECT_FALSE(goes_over_the_line(frame_of(0x02, 0x0806)));
  EXPECT_FALSE(goes_over_the_line(frame_of(0xff, 0x0800)));
  EXPECT_FALSE(goes_over_the_line(frame_of(0x33, 0x86dd)));
}

TEST(TheLine, CarriesNoFrameWithoutAWholeHeader) {
  const auto frame = frame_of(0x02, 0x0800);
  EXPECT_TRUE(goes_over_the_line(std::span(frame).first(14)));
  EXPECT_FALSE(goes_over_the_line(std::span(frame).first(13)));
  EXPECT_FALSE(goes_over_the_line({}));
}

}  // namespace
}  // namespace ptrain::lab_link
