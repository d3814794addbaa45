#include "libcommon/wire/training.h"

#include <limits>

#include <gtest/gtest.h>

#include "libcommon/base/error.h"

namespace ptrain::wire {
namespace {

TEST(TrainingMessages, ComeBackAsTheyWent) {
  const StepReport report{.loss_sums = {12.5, 3, 0.125},
                          .gradient_squares = {1, 0.25, 3e-300},
                          .stop_requested = true,
                          .numerics_class = "0123456789abcdef",
                          .state_digest = 0xfeedbeefcafe0001,
                          .time = {.step_s = 1,
                                   .compute_s = 2,
                                   .wait_previous_s = 3,
                                   .wait_next_s = 4,
                                   .to_previous = {.busy_s = 5, .bytes = 6},
                                   .to_next = {.busy_s = 7, .bytes = 8, .round_trip_s = 9},
                                   .most_in_flight = 10}};
  EXPECT_EQ(decode_step_report(encode(report)), report);
  const StepVerdict verdict{.loss = 1.5,
                            .gradient_norm = 2,
                            .clip_factor = 0.5,
                            .stop = true,
                            .save = true,
                            .in_flight = 11};
  EXPECT_EQ(decode_step_verdict(encode(verdict)), verdict);
  const EvalReport eval{.loss_sum = 7, .tokens = 4096};
  EXPECT_EQ(decode_eval_report(encode(eval)), eval);
  const ResumeOffer offer{{{Step(5), "ab"}, {Step(10), "cd"}}, {{Step(12), "gh"}}};
  EXPECT_EQ(decode_resume_offer(encode(offer)), offer);
  const ResumeChoice choice{{Step(10), "cd"}, 17, "ef", true, 12, true, "ab01"};
  EXPECT_EQ(decode_resume_choice(encode(choice)), choice);
}

TEST(TrainingMessages, TruncatedOrForeignBytesAreRefused) {
  const auto bytes = encode(StepReport{.gradient_squares = std::vector<double>(100, 1.0)});
  for (std::size_t length = 0; length < bytes.size(); length += 8) {
    EXPECT_THROW(decode_step_report(std::span(bytes).first(length)), Error) << length;
  }
  EXPECT_THROW(decode_step_verdict(std::vector<std::byte>(40, std::byte{0xff})), Error);
}

TEST(TrainingMessages, TimesThatAreNoneAreRefused) {
  for (const double wrong :
       {-1.0, std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    StepReport report{.gradient_squares = {1}};
    report.time.wait_next_s = wrong;
    EXPECT_THROW(decode_step_report(encode(report)), Error);
    report.time = {.to_next = {.busy_s = wrong}};
    EXPECT_THROW(decode_step_report(encode(report)), Error);
    report.time = {.to_next = {.round_trip_s = wrong}};
    EXPECT_THROW(decode_step_report(encode(report)), Error);
  }
}

TEST(TrainingMessages, MoreParametersThanTheLimitAreRefused) {
  StepReport report{.gradient_squares = std::vector<double>(kMaxReportedParameters, 1.0)};
  EXPECT_NO_THROW(decode_step_report(encode(report)));
  report.gradient_squares.push_back(1.0);
  EXPECT_THROW(decode_step_report(encode(report)), Error);
}

}  // namespace
}  // namespace ptrain::wire
