#include "libcommon/job/job_keys.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <limits>
#include <set>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "libcommon/job/job_file.h"
#include "libcommon/job/nearest_key.h"

namespace ptrain::job {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

std::string manual_page() {
  std::ifstream file(PTRAIN_SOURCE_DIR "/man/ptrain-job.5.scd");
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(JobKeys, HaveNamesOfTheirOwnInATable) {
  std::set<std::string> names;
  for (const JobKey& key : job_keys()) {
    EXPECT_TRUE(names.insert(key.name).second) << key.name;
    EXPECT_EQ(std::count(key.name.begin(), key.name.end(), '.'), 1) << key.name;
    EXPECT_EQ(find_job_key(key.name), &key);
  }
}

TEST(JobKeys, IntegersAreTakenAtTheirLimitsAndRefusedBeyond) {
  for (const JobKey& key : job_keys()) {
    if (!key.integer_range) continue;
    const auto [min, max] = *key.integer_range;
    Job job;
    EXPECT_FALSE(key.assign(job, min)) << key.name;
    EXPECT_EQ(key.read(job), json(min)) << key.name;
    EXPECT_FALSE(key.assign(job, max)) << key.name;
    EXPECT_EQ(key.read(job), json(max)) << key.name;
    EXPECT_TRUE(key.assign(job, min - 1)) << key.name;
    EXPECT_TRUE(key.assign(job, static_cast<std::uint64_t>(max) + 1)) << key.name;
    EXPECT_TRUE(key.assign(job, std::numeric_limits<std::uint64_t>::max())) << key.name;
    EXPECT_TRUE(key.assign(job, 1.0)) << key.name;
    EXPECT_EQ(key.read(job), json(max)) << key.name << " changed by a value it refused";
  }
}

TEST(JobKeys, NumbersAreTakenWithinTheirLimitsAndRefusedBeyond) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  for (const JobKey& key : job_keys()) {
    if (!key.number_range) continue;
    const NumberRange& range = *key.number_range;
    Job job;
    EXPECT_EQ(key.assign(job, range.min).has_value(), range.at_min == Bound::excluded) << key.name;
    EXPECT_EQ(key.assign(job, range.max).has_value(), range.at_max == Bound::excluded) << key.name;
    EXPECT_FALSE(key.assign(job, std::nextafter(range.min, kInfinity))) << key.name;
    EXPECT_FALSE(key.assign(job, std::nextafter(range.max, -kInfinity))) << key.name;
    EXPECT_TRUE(key.assign(job, std::nextafter(range.min, -kInfinity))) << key.name;
    EXPECT_TRUE(key.assign(job, std::nextafter(range.max, kInfinity))) << key.name;
    EXPECT_TRUE(key.assign(job, std::nan(""))) << key.name;
    EXPECT_TRUE(key.assign(job, kInfinity)) << key.name;
    EXPECT_TRUE(key.assign(job, "1")) << key.name;
  }
}

TEST(JobKeys, RefuseEveryOtherType) {
  for (const JobKey& key : job_keys()) {
    Job job;
    EXPECT_TRUE(key.assign(job, json())) << key.name;
    EXPECT_TRUE(key.assign(job, json::object())) << key.name;
    EXPECT_TRUE(key.assign(job, json::array({json::array()}))) << key.name;
  }
}

TEST(JobKeys, TextsHaveALimit) {
  const JobKey& key = *find_job_key("checkpoint.dir");
  Job job;
  EXPECT_FALSE(key.assign(job, std::string(kMaxTextBytes, 'x')));
  EXPECT_TRUE(key.assign(job, std::string(kMaxTextBytes + 1, 'x')));
  EXPECT_TRUE(key.assign(job, ""));
  EXPECT_TRUE(key.assign(job, std::string("a\0b", 3)));
}

TEST(JobKeys, CheckpointsAreDueAfterStepsOrATime) {
  const JobKey& key = *find_job_key("checkpoint.every");
  Job job;
  EXPECT_EQ(key.read(job), json("5min"));
  EXPECT_FALSE(key.assign(job, "90s"));
  EXPECT_EQ(job.checkpoint.every, 0U);
  EXPECT_EQ(job.checkpoint.every_s, 90U);
  EXPECT_EQ(key.read(job), json("90s"));
  EXPECT_FALSE(key.assign(job, 50));
  EXPECT_EQ(job.checkpoint.every, 50U);
  EXPECT_EQ(job.checkpoint.every_s, 0U);
  for (const char* text : {"0s", "169h", "5m", "50", "", "often"}) {
    EXPECT_THAT(key.assign(job, text).value_or(""),
                HasSubstr("must be 0 to 100000000 steps, or a time"))
        << text;
  }
  EXPECT_FALSE(key.assign(job, "168h"));
}

TEST(JobKeys, StageLayersHaveALimit) {
  const JobKey& key = *find_job_key("pipeline.layers");
  Job job;
  EXPECT_FALSE(key.assign(job, std::vector<int>(2 * kMaxLayers, 1)));
  EXPECT_TRUE(key.assign(job, std::vector<int>(2 * kMaxLayers + 1, 1)));
  EXPECT_FALSE(key.assign(job, json::array({"1024"})));
  EXPECT_TRUE(key.assign(job, json::array({"1025"})));
}

TEST(JobKeys, StageLayersOfOneCutHaveOneForm) {
  const JobKey& key = *find_job_key("pipeline.layers");
  Job job;
  EXPECT_FALSE(key.assign(job, json::array({"3", 1, "2+attention", "mlp"})));
  EXPECT_EQ(key.read(job), json::array({3, 1, "2+attention", "mlp"}));
  EXPECT_THAT(key.assign(job, json::array({"3.5", 1})).value_or(""),
              HasSubstr("\"3.5\": must be a number of layers with \"mlp+\" before it"));
  EXPECT_THAT(key.assign(job, json::array({"2+attention", 1})).value_or(""),
              HasSubstr("stage 0 ends with the attention part"));
  EXPECT_THAT(key.assign(job, 3).value_or(""), HasSubstr("expected an array"));
  EXPECT_EQ(key.read(job), json::array({3, 1, "2+attention", "mlp"})) << "as it was";
}

TEST(JobKeys, AreEachDescribedInTheManualWithTypeLimitsAndDefault) {
  const std::string page = manual_page();
  ASSERT_FALSE(page.empty());
  for (const JobKey& key : job_keys()) {
    const std::string heading = "*" + key.name + "* (" + key.type + ": " + key.allowed + "; " +
                                (key.required ? "required" : "default: " + key.fallback) + ")\n";
    EXPECT_THAT(page, HasSubstr(heading));
  }
}

TEST(JobKeys, TheManualsExampleIsAJob) {
  const std::string page = manual_page();
  const std::string fence = "```\n";
  const std::size_t begin = page.find(fence) + fence.size();
  const std::string example = page.substr(begin, page.find(fence, begin) - begin);
  EXPECT_EQ(parse_job(example, "example.toml").model.vocab_size, 256);
}

TEST(JobKeys, TheQuickstartIsAJob) {
  EXPECT_EQ(load_job(PTRAIN_SOURCE_DIR "/recipes/jobs/quickstart.toml").model.vocab_size, 256);
}

TEST(NearestKey, ForgivesSlipsAndWrongTablesButDoesNotGuessWildly) {
  EXPECT_EQ(nearest_job_key("optim.lrr"), find_job_key("optim.lr"));
  EXPECT_EQ(nearest_job_key("optimizer.weight_decay"), find_job_key("optim.weight_decay"));
  EXPECT_EQ(nearest_job_key("batch.glob"), find_job_key("batch.global"));
  EXPECT_EQ(nearest_job_key("nothing.like_it"), nullptr);
  EXPECT_EQ(nearest_job_key(std::string(10000, 'x')), nullptr);
}

}  // namespace
}  // namespace ptrain::job
