#include "libcommon/job/time_span.h"

#include <gtest/gtest.h>

namespace ptrain::job {
namespace {

TEST(TimeSpan, IsAWholeNumberAndAUnit) {
  EXPECT_EQ(parse_time_span("90s"), 90U);
  EXPECT_EQ(parse_time_span("5min"), 300U);
  EXPECT_EQ(parse_time_span("5 min"), 300U);
  EXPECT_EQ(parse_time_span("2h"), 7200U);
  EXPECT_EQ(parse_time_span("0s"), 0U);
}

TEST(TimeSpan, IsNothingElse) {
  for (const char* text : {"", "5", "min", "5m", "5mins", "5  min", " 5min", "-5min", "1.5h",
                           "5min ", "1h30min", "18446744073709551616s", "18446744073709551615h"}) {
    EXPECT_FALSE(parse_time_span(text)) << text;
  }
}

TEST(TimeSpan, IsWrittenInItsLargestUnit) {
  for (const char* text : {"90s", "5min", "2h", "61min", "1s"}) {
    EXPECT_EQ(time_span_text(*parse_time_span(text)), text);
  }
  EXPECT_EQ(time_span_text(3600), "1h");
  EXPECT_EQ(time_span_text(120), "2min");
}

}  // namespace
}  // namespace ptrain::job
