#include "libcommon/plan/plan_file.h"

#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "libcommon/base/error.h"

namespace ptrain::plan {
namespace {

const std::string kHash(64, 'a');

std::string plan_text(std::string_view set, std::string_view view,
                      const std::string& hash = kHash) {
  return fmt::format(R"({{"kind":"plan","version":1,"job_hash":"{}","set":{},"view":{},)"
                     R"("tokens_per_s":10.5,"step_s":2,"explanation":{{"a":[1]}}}})",
                     hash, set, view);
}

std::string said_of(const std::string& text) {
  try {
    read_plan(text, "plan.json");
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::corrupt);
    return error.what();
  }
  return "";
}

constexpr std::string_view kTwo =
    R"([{"stage":0,"lane":0,"host":"east"},{"stage":1,"lane":0,"host":"west"}])";

TEST(PlanFile, WhatIsWrittenIsReadAgain) {
  const PlanFile plan{.job_hash = kHash,
                      .set = {"pipeline.layers=[5,3]", "batch.micro=2"},
                      .view = {{StageIndex(0), 0, "east"}, {StageIndex(1), 0, "west"}},
                      .tokens_per_s = 1.0 / 3,
                      .step_s = 7,
                      .explanation = {{"limit", "east"}}};
  const std::string text = write_plan(plan);
  EXPECT_EQ(text.find('\n'), std::string::npos);
  const PlanFile again = read_plan(text + "\n", "plan.json");
  EXPECT_EQ(again.job_hash, plan.job_hash);
  EXPECT_EQ(again.set, plan.set);
  EXPECT_EQ(again.view, plan.view);
  EXPECT_EQ(again.tokens_per_s, plan.tokens_per_s);
  EXPECT_EQ(again.step_s, plan.step_s);
  EXPECT_EQ(write_plan(again), text);
}

TEST(PlanFile, KnowsWhatAHostHolds) {
  const PlanFile plan =
      read_plan(plan_text("[]", R"([{"stage":0,"lane":0,"host":"a"},{"stage":0,"lane":1,"host":"a"},
                          {"stage":1,"lane":0,"host":"b"},{"stage":1,"lane":1,"host":"a"}])"),
                "plan.json");
  EXPECT_EQ(plan.stages(), 2U);
  EXPECT_EQ(plan.stages_of("a"), (std::vector{StageIndex(0), StageIndex(1)}));
  EXPECT_EQ(plan.stages_of("b"), std::vector{StageIndex(1)});
  EXPECT_TRUE(plan.stages_of("c").empty());
}

TEST(PlanFile, NamesWhatIsWrong) {
  EXPECT_EQ(said_of(plan_text("[]", kTwo)), "");
  EXPECT_EQ(said_of(plan_text(R"(["no"])", kTwo)),
            R"(plan.json: set is ["no"], expected an array of KEY=VALUE)");
  EXPECT_EQ(said_of(plan_text("[7]", kTwo)),
            "plan.json: set is [7], expected an array of KEY=VALUE");
  EXPECT_EQ(said_of(plan_text("[]", "[]")), "plan.json: view is [], expected one cell at least");
  EXPECT_EQ(said_of(plan_text("[]", R"([{"stage":1,"lane":0,"host":"a"}])")),
            "plan.json: view[0]: stage is 1, expected each stage and lane once, in order");
  EXPECT_EQ(said_of(plan_text("[]", R"([{"stage":0,"lane":0,"host":"a"},
                                        {"stage":0,"lane":0,"host":"b"}])")),
            "plan.json: view[1]: stage is 0, expected each stage and lane once, in order");
  EXPECT_EQ(
      said_of(plan_text("[]", R"([{"stage":0,"lane":0,"host":"a"},{"stage":0,"lane":1,"host":"b"},
                                        {"stage":1,"lane":0,"host":"a"}])")),
      R"(plan.json: view is [{"host":"a","lane":0,"stage":0},{"host":"b","lane":1,"stage":0},)"
      R"({"host":"a","lane":0,"stage":1}], expected as many lanes of each stage)");
  EXPECT_EQ(said_of(plan_text("[]", kTwo, "xyz")),
            R"(plan.json: job_hash is "xyz", expected 64 lower-case hexadecimal digits)");
}

TEST(PlanFile, IsForOneJob) {
  const PlanFile plan = read_plan(plan_text("[]", kTwo), "plan.json");
  EXPECT_NO_THROW(check_job(plan, kHash, "plan.json"));
  EXPECT_THROW(check_job(plan, std::string(64, 'b'), "plan.json"), Error);
}

}  // namespace
}  // namespace ptrain::plan
