#include "libcommon/metrics/jsonl.h"

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libcommon/base/error.h"

namespace ptrain::metrics {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class Jsonl : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "ptrain-metrics-XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    path_ = folder_ / "metrics.jsonl";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string content() const {
    std::ifstream file(path_);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void set_content(const std::string& text) const { std::ofstream(path_) << text; }

  NullLog log_;
  std::filesystem::path folder_;
  std::filesystem::path path_;
};

TEST(JsonLine, OfAPathSaysWhichAndWhy) {
  PathRecord record{.step = 3,
                    .peer = 1,
                    .path = "socks5://relay:7101",
                    .route = "relayed",
                    .why = "the first that worked",
                    .round_trip_s = {},
                    .changes = 2,
                    .reconnects = 4};
  EXPECT_EQ(to_json_line(record),
            R"({"kind":"path","step":3,"peer":1,"path":"socks5://relay:7101","route":"relayed",)"
            R"("why":"the first that worked","round_trip_s":null,"changes":2,"reconnects":4})");
  record.round_trip_s = 0.5;
  EXPECT_NE(to_json_line(record).find(R"("round_trip_s":0.5)"), std::string::npos);
}

TEST(JsonLine, OfAStepHasItsFieldsInOrder) {
  const StepRecord record{.step = 7,
                          .loss = 2.5,
                          .grad_norm = 0.1,
                          .lr = 1e-3,
                          .tokens_per_s = 1000,
                          .step_s = 0.5,
                          .compute_s = 0.25,
                          .wait_s = 0.125,
                          .wait_previous_s = 0.0625,
                          .wait_next_s = 0.03125,
                          .wait_lanes_s = 0.015625,
                          .in_flight = 6,
                          .checkpoint_stall_s = 0,
                          .tx_bytes = 1,
                          .rx_bytes = 2,
                          .tx_forward_bytes = 3,
                          .tx_backward_bytes = 4,
                          .tied_bytes = 5,
                          .tx_lanes_bytes = 7,
                          .rss_bytes = std::numeric_limits<std::uint64_t>::max()};
  EXPECT_EQ(
      to_json_line(record),
      R"({"kind":"step","step":7,"loss":2.5,"grad_norm":0.1,"lr":0.001,)"
      R"("tokens_per_s":1000.0,"step_s":0.5,"compute_s":0.25,"wait_s":0.125,)"
      R"("wait_previous_s":0.0625,"wait_next_s":0.03125,"wait_lanes_s":0.015625,"in_flight":6,)"
      R"("checkpoint_stall_s":0.0,"tx_bytes":1,"rx_bytes":2,"tx_forward_bytes":3,)"
      R"("tx_backward_bytes":4,"tied_bytes":5,"tx_lanes_bytes":7,)"
      R"("rss_bytes":18446744073709551615})");
}

TEST(JsonLine, OfALinkSaysWhatWentAndWhatWasWaitedFor) {
  LinkRecord record{.step = 3, .peer = 1, .sent_bytes = 10, .queued_bytes = 4};
  EXPECT_EQ(to_json_line(record),
            R"({"kind":"link","step":3,"peer":1,"sent_bytes":10,"goodput_bytes_per_s":null,)"
            R"("queued_bytes":4,"round_trip_s":null,"waits":{}})");
  record.goodput_bytes_per_s = 2.5;
  record.round_trip_s = 0.25;
  record.waits = {{"gradient", 0.5}, {"step verdict", 0.125}};
  EXPECT_EQ(to_json_line(record),
            R"({"kind":"link","step":3,"peer":1,"sent_bytes":10,"goodput_bytes_per_s":2.5,)"
            R"("queued_bytes":4,"round_trip_s":0.25,)"
            R"("waits":{"gradient":0.5,"step verdict":0.125}})");
}

TEST(JsonLine, OfTheMemoryThatIsNeeded) {
  EXPECT_EQ(to_json_line(MemoryRecord{.step = 3,
                                      .needed_bytes = 60,
                                      .state_bytes = 10,
                                      .snapshot_bytes = 20,
                                      .activation_bytes = 30,
                                      .numerics_class = "0f"}),
            R"({"kind":"memory","step":3,"needed_bytes":60,"state_bytes":10,"snapshot_bytes":20,)"
            R"("activation_bytes":30,"numerics_class":"0f"})");
}

TEST(JsonLine, OfAnEvaluationACheckpointAndTheEnd) {
  EXPECT_EQ(to_json_line(EvalRecord{.step = 3, .val_loss = 1.5, .sequences = 8}),
            R"({"kind":"eval","step":3,"val_loss":1.5,"sequences":8})");
  EXPECT_EQ(to_json_line(CheckpointRecord{.step = 3, .id = "ab", .save_s = 0.5}),
            R"({"kind":"checkpoint","step":3,"id":"ab","save_s":0.5})");
  EXPECT_EQ(to_json_line(DoneRecord{.steps = 3,
                                    .val_loss = std::nullopt,
                                    .weights_sha256 = "ab",
                                    .checkpoint = "ckpt/step-3",
                                    .train_s = 2,
                                    .tokens = 99,
                                    .peak_rss_bytes = 7}),
            R"({"kind":"done","steps":3,"val_loss":null,"weights_sha256":"ab",)"
            R"("checkpoint":"ckpt/step-3","train_s":2.0,"tokens":99,"peak_rss_bytes":7})");
}

TEST(JsonLine, OfTheEndSaysWhatIsSlowWhereThatIsKnown) {
  DoneRecord record;
  EXPECT_THAT(to_json_line(record), Not(HasSubstr("bottleneck")));
  record.bottleneck = "stage 2 computes";
  EXPECT_THAT(to_json_line(record), HasSubstr(R"(,"bottleneck":"stage 2 computes"})"));
}

TEST(JsonLine, HasNullForWhatIsNotFinite) {
  EXPECT_THAT(to_json_line(StepRecord{.loss = std::nan("")}), HasSubstr(R"("loss":null)"));
}

TEST_F(Jsonl, WritesALineForEachRecord) {
  JsonlWriter writer(path_, log_);
  writer.cut_back_to(0);
  writer.write(EvalRecord{.step = 1, .val_loss = 2, .sequences = 3});
  writer.write(EvalRecord{.step = 2, .val_loss = 2, .sequences = 3});
  EXPECT_EQ(content(),
            "{\"kind\":\"eval\",\"step\":1,\"val_loss\":2.0,\"sequences\":3}\n"
            "{\"kind\":\"eval\",\"step\":2,\"val_loss\":2.0,\"sequences\":3}\n");
}

TEST_F(Jsonl, AResumedRunCutsWhatItWillWriteAgain) {
  const std::string kept =
      "{\"kind\":\"step\",\"step\":1}\n{\"kind\":\"step\",\"step\":2}\n"
      "{\"kind\":\"eval\",\"step\":2}\n{\"kind\":\"checkpoint\",\"step\":1}\n"
      "{\"kind\":\"memory\",\"step\":2}\n";
  set_content(kept + "{\"kind\":\"step\",\"step\":3}\n{\"kind\":\"step\",\"step\":4}\n");
  JsonlWriter writer(path_, log_);
  writer.cut_back_to(2);
  EXPECT_EQ(content(), kept);
  writer.write(EvalRecord{.step = 3});
  EXPECT_THAT(content(), HasSubstr(kept + "{\"kind\":\"eval\",\"step\":3,"));
}

TEST_F(Jsonl, KnowsWhichStepsWereEvaluated) {
  set_content(
      "{\"kind\":\"eval\",\"step\":2}\nnonsense\n[]\n{\"kind\":\"step\",\"step\":3}\n"
      "{\"kind\":\"eval\",\"step\":4}\n{\"kind\":\"eval\",\"st");
  const JsonlWriter writer(path_, log_);
  EXPECT_TRUE(writer.has_evaluation(2));
  EXPECT_FALSE(writer.has_evaluation(3));
  EXPECT_TRUE(writer.has_evaluation(4));
  EXPECT_FALSE(writer.has_evaluation(5));
  set_content("");
  EXPECT_FALSE(writer.has_evaluation(2));
}

TEST_F(Jsonl, ALineThatAKillLeftUnfinishedIsDropped) {
  set_content("{\"kind\":\"step\",\"step\":1}\n{\"kind\":\"step\",\"st");
  JsonlWriter writer(path_, log_);
  writer.cut_back_to(100);
  EXPECT_EQ(content(), "{\"kind\":\"step\",\"step\":1}\n");
}

TEST_F(Jsonl, ALongerRunDropsTheDoneLineOfTheShorterOne) {
  set_content("{\"kind\":\"step\",\"step\":1}\n{\"kind\":\"done\",\"steps\":1,\"step\":1}\n");
  JsonlWriter writer(path_, log_);
  writer.cut_back_to(100);
  EXPECT_EQ(content(), "{\"kind\":\"step\",\"step\":1}\n");
}

TEST_F(Jsonl, ANewRunStartsTheFileAnew) {
  set_content("{\"kind\":\"eval\",\"step\":0}\n");
  JsonlWriter writer(path_, log_);
  writer.cut_back_to(0);
  EXPECT_EQ(content(), "");
}

TEST_F(Jsonl, WhatIsNotOursIsNotKept) {
  for (const char* line : {"not json\n", "[1]\n", "3\n", "\n", "{\"kind\":\"step\"}\n",
                           "{\"kind\":\"step\",\"step\":-1}\n", "{\"step\":1}\n",
                           "{\"kind\":\"step\",\"step\":1.5}\n"}) {
    EXPECT_EQ(kept_prefix(line, 100), 0u) << line;
  }
  EXPECT_EQ(kept_prefix("", 100), 0u);
}

TEST_F(Jsonl, AFullDiskEndsNothing) {
  JsonlWriter writer("/dev/full", log_);
  writer.cut_back_to(0);
  writer.write(StepRecord{});
  writer.write(StepRecord{});
  EXPECT_EQ(writer.missing(), 2u);
}

TEST_F(Jsonl, WhatIsThereIsNotTouchedBeforeTheRunKnowsWhereItBegins) {
  set_content("{\"kind\":\"step\",\"step\":3}\n");
  const JsonlWriter writer(path_, log_);
  EXPECT_EQ(content(), "{\"kind\":\"step\",\"step\":3}\n");
}

TEST_F(Jsonl, AFolderThatIsNotThereIsAnErrorThatNamesTheFile) {
  EXPECT_THROW(JsonlWriter(folder_ / "none" / "m.jsonl", log_), Error);
}

TEST_F(Jsonl, DashIsStandardOutput) {
  testing::internal::CaptureStdout();
  JsonlWriter("-", log_).write(EvalRecord{.step = 1});
  EXPECT_THAT(testing::internal::GetCapturedStdout(), HasSubstr("{\"kind\":\"eval\",\"step\":1,"));
}

}  // namespace
}  // namespace ptrain::metrics
