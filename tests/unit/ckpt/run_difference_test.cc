#include "libcommon/ckpt/run_difference.h"

#include <gtest/gtest.h>

#include "tests/unit/ckpt/sample_checkpoint.h"

namespace ptrain::ckpt {
namespace {

class RunDifference : public ::testing::Test {
 protected:
  // What differs after `change`, as "FIELD: LEFT, RIGHT".
  template <class Change>
  std::string after(Change&& change) {
    RunState changed = run_;
    change(changed);
    const auto found = first_difference(run_, changed);
    return found ? found->field + ": " + found->left + ", " + found->right : "";
  }

  const RunState run_ = SampleCheckpoint(Step(10)).run();
};

TEST_F(RunDifference, EqualRunsHaveNone) {
  EXPECT_EQ(after([](RunState&) {}), "");
}

TEST_F(RunDifference, NamesFieldsAndThoseInsideTheModelAndTheJob) {
  EXPECT_EQ(after([](RunState& run) { run.step = Step(11); }), "step: 10, 11");
  EXPECT_EQ(after([](RunState& run) { run.model.hidden_size = 16; }), "model.hidden_size: 8, 16");
  EXPECT_EQ(after([](RunState& run) { run.job = R"({"job":3})"; }), "job.job: \"sample\", 3");
  EXPECT_EQ(after([](RunState& run) { run.job = R"({"job":"sample","seed":1})"; }),
            "job.seed: nothing, 1");
}

TEST_F(RunDifference, AJobThatIsNotJsonIsText) {
  EXPECT_EQ(after([](RunState& run) { run.job = ""; }), R"(job: {"job":"sample"}, "")");
  EXPECT_EQ(after([](RunState& run) { run.job = R"({"job": "sample"})"; }),
            R"(job: "{\"job\":\"sample\"}", "{\"job\": \"sample\"}")");
}

TEST(StageOfRecord, IsTheInverseOfTheNameAndNothingElseIs) {
  for (const std::uint32_t stage : {0u, 7u, 99u, 100u, kMaxStages - 1}) {
    EXPECT_EQ(stage_of_record(record_file_name(StageIndex(stage))), StageIndex(stage));
  }
  EXPECT_EQ(stage_of_record(record_file_name(StageIndex(kMaxStages))), std::nullopt);
  for (const char* name :
       {"stage-0.record.json", "stage-000.record.json", "stage-00.record.jso", "stage-.record.json",
        "stage--1.record.json", ".tmp-a.stage-00.record.json", "stage-00.model.safetensors",
        "stage-99999999999.record.json", ""}) {
    EXPECT_EQ(stage_of_record(name), std::nullopt) << name;
  }
}

}  // namespace
}  // namespace ptrain::ckpt
