#include "libcommon/plan/running_job.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libcommon/base/error.h"
#include "libcommon/metrics/jsonl.h"
#include "tests/unit/plan/sample_files.h"

namespace ptrain::plan {
namespace {

using ::testing::HasSubstr;

std::string step_line(double compute_s) {
  metrics::StepRecord record{.step = 1};
  record.compute_s = compute_s;
  return to_json_line(record) + "\n";
}

std::string link_line(std::uint32_t peer, double rate, double round_trip_s) {
  return to_json_line(metrics::LinkRecord{
             .step = 1, .peer = peer, .goodput_bytes_per_s = rate, .round_trip_s = round_trip_s}) +
         "\n";
}

std::string steps(std::size_t count, double compute_s) {
  std::string lines;
  for (std::size_t i = 0; i < count; ++i) lines += step_line(compute_s);
  return lines;
}

template <class Action>
std::string refusal(Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::corrupt);
    return error.what();
  }
  return "";
}

std::string refused(const std::string& metrics) {
  return refusal([&] { read_running_stage(metrics, "m"); });
}

TEST(RunningStage, IsWhatRecentStepsUsuallyWere) {
  const RunningStage stage = read_running_stage(
      to_json_line(metrics::MemoryRecord{.numerics_class = "avx512"}) + "\n" + step_line(9) +
          steps(2, 4) + link_line(1, 1e6, 0.02) + link_line(1, 3e6, 0.04) +
          link_line(1, 2e6, 0.03) + to_json_line(metrics::EvalRecord{.step = 3}) + "\n",
      "m");
  EXPECT_EQ(stage.numerics, "avx512");
  EXPECT_EQ(stage.compute_s, 4);
  ASSERT_EQ(stage.links.size(), 1U);
  EXPECT_EQ(stage.links.at(1), (RunningLink{.rate_bytes_per_s = 2e6, .round_trip_s = 0.03}));
}

TEST(RunningStage, ForgetsWhatIsNotRecent) {
  const std::string slow = steps(kMostRecentSteps, 9);
  EXPECT_EQ(read_running_stage(slow + steps(kMostRecentSteps, 4), "m").compute_s, 4);
  EXPECT_EQ(read_running_stage(slow + steps(1, 4), "m").compute_s, 9);
}

TEST(RunningStage, NeedsAFewStepsThatAreWritten) {
  EXPECT_EQ(read_running_stage(steps(kFewestRecentSteps, 1), "m").compute_s, 1);
  EXPECT_THAT(refused(steps(kFewestRecentSteps - 1, 1)), HasSubstr("m: 2 steps, at least 3"));
  EXPECT_EQ(read_running_stage(steps(3, 1) + "{\"kind\": \"st", "m").compute_s, 1);
  EXPECT_THAT(refused(steps(2, 1) + "{\n"), HasSubstr("m:3: not JSON"));
  EXPECT_THAT(refused("{\"kind\":\"step\",\"compute_s\":0}\n"), HasSubstr("m:1: compute_s is 0"));
  EXPECT_THAT(refused("{\"kind\":\"link\",\"peer\":-1}\n"), HasSubstr("m:1: peer is -1"));
}

TEST(RunningStage, SaysNothingOfALinkOnWhichNothingWent) {
  const RunningStage stage = read_running_stage(
      steps(3, 1) + to_json_line(metrics::LinkRecord{.step = 1, .peer = 1}) + "\n", "m");
  EXPECT_EQ(stage.links.at(1), RunningLink{});
}

// Two hosts, each with half of eight layers.
class RunningJob : public ::testing::Test {
 protected:
  RunningJob() {
    job_.pipeline.layers = {4, 4};
    plan_.view = {{StageIndex(0), 0, "a"}, {StageIndex(1), 0, "b"}};
  }

  // What take_running() says; empty: it took them.
  std::string take(const std::vector<RunningStage>& stages) {
    return refusal([&] { take_running(job_, plan_, stages, 200, links_, compute_); });
  }

  // 16 microbatches of 4 layers, 2 blocks and an end each, 3 times the forward; and the update.
  static constexpr double kExpectedS = 0.01 * 9 * (16 * 3 + 1);

  job::Job job_ = sample_job();
  PlanFile plan_;
  Links links_ = read_links(
      R"({"kind":"links","version":1,"time_s":100,
          "hosts":[{"name":"a","out_bytes_per_s":1e8,"in_bytes_per_s":1e8},{"name":"b"}],
          "pairs":[{"from":"a","to":"b","rate_bytes_per_s":1e7,"round_trip_s":0.01}]})",
      "links.json");
  std::vector<HostCompute> compute_ =
      read_compute(compute_line("a", job_, 0.01) + compute_line("b", job_, 0.01), "compute.jsonl");
};

TEST_F(RunningJob, ScalesHostsToWhatTheirStagesTook) {
  ASSERT_EQ(take({{.compute_s = kExpectedS}, {.compute_s = 2 * kExpectedS}}), "");
  const BlockCompute& same = compute_[0].blocks.at(1)[index_of(BlockKind::mlp)];
  const BlockCompute& twice = compute_[1].blocks.at(1)[index_of(BlockKind::mlp)];
  EXPECT_NEAR(same.forward_s, 0.01, 1e-4);
  EXPECT_NEAR(twice.weight_s, 0.02, 1e-4);
  EXPECT_NEAR(twice.update_s, 0.02, 1e-4);
  EXPECT_NEAR(compute_[1].codecs.at("fp32").encode_bytes_per_s, 5e9, 5e7);
  EXPECT_EQ(compute_[1].time_s, 200);
}

TEST_F(RunningJob, CountsTheCodecsOfBordersInsideAStage) {
  job_.wire_forward = job::WireCodec::int8;
  job_.pipeline.borders = {4, 2, 2};
  compute_ = read_compute(with_codec(compute_line("a", job_, 0.01), "int8", 1e5) +
                              with_codec(compute_line("b", job_, 0.01), "int8", 1e5),
                          "compute.jsonl");
  const double crossing_s = 16 * 4224 / 1e5;  // of 64 x 64 values in blocks of 132 bytes
  ASSERT_EQ(take({{.compute_s = kExpectedS + crossing_s},        // encodes what it sends
                  {.compute_s = kExpectedS + 3 * crossing_s}}),  // decodes it; and both inside
            "");
  for (const HostCompute& host : compute_) {
    EXPECT_NEAR(host.blocks.at(1)[index_of(BlockKind::mlp)].forward_s, 0.01, 1e-5) << host.name;
  }
}

TEST_F(RunningJob, ReplacesOnlyTheFiguresOfLinksThatItHas) {
  ASSERT_EQ(take({{.compute_s = 1, .links = {{1, {.rate_bytes_per_s = 5e6}}}},
                  {.compute_s = 1, .links = {{0, {.round_trip_s = 0.5}}}}}),
            "");
  ASSERT_EQ(links_.pairs.size(), 2U);
  EXPECT_EQ(links_.pairs[0].rate_bytes_per_s, 5e6);
  EXPECT_EQ(links_.pairs[0].round_trip_s, 0.01);
  EXPECT_EQ(links_.pairs[1].from, "b");
  EXPECT_EQ(links_.pairs[1].round_trip_s, 0.5);
  EXPECT_EQ(links_.pairs[1].rate_bytes_per_s, std::nullopt);
}

TEST_F(RunningJob, NamesWhatIsOfAnotherJob) {
  EXPECT_THAT(take({{.compute_s = 1}}), HasSubstr("metrics of 1 stages, the running plan has 2"));
  EXPECT_THAT(take({{.where = "m", .compute_s = 1, .links = {{2, {}}}}, {.compute_s = 1}}),
              HasSubstr("m: a link to stage 2"));
  EXPECT_THAT(take({{.where = "m", .numerics = "avx2", .compute_s = 1}, {.compute_s = 1}}),
              HasSubstr("m: stage 0 is of numerics class avx2, compute.jsonl:1 says that a is of "
                        "avx512"));
  plan_.view[1].host = "c";
  EXPECT_THAT(take({{.compute_s = 1}, {.compute_s = 1}}),
              HasSubstr("stage 1 runs on c, of which the links say nothing"));
}

}  // namespace
}  // namespace ptrain::plan
