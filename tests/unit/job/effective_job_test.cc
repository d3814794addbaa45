#include "libcommon/job/effective_job.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "libcommon/job/job_file.h"
#include "libcommon/job/job_keys.h"

namespace ptrain::job {
namespace {

using ::testing::HasSubstr;

constexpr const char* kJob = R"(
[model]
vocab_size = 256
hidden_size = 32
intermediate_size = 64
num_hidden_layers = 4
num_attention_heads = 4
[data]
train = ["a \"b\"/*.bin", "c.bin"]
seq_len = 32
[batch]
global = 8
micro = 2
[train]
steps = 20
[optim]
eps = 1e-10
)";

TEST(EffectiveJob, ReadAgainIsTheSameJobWithEveryKeyWritten) {
  const Job job = parse_job(kJob, "job.toml");
  const std::string toml = effective_toml(job);
  const Job again = parse_job(toml, "effective.toml");
  for (const JobKey& key : job_keys()) {
    EXPECT_EQ(key.read(again), key.read(job)) << key.name;
    const std::string name = key.name.substr(key.name.find('.') + 1);
    if (key.name == "model.config") continue;
    EXPECT_THAT(toml, HasSubstr("\n" + name + " = ")) << key.name;
  }
  EXPECT_EQ(job_hash(again), job_hash(job));
  EXPECT_EQ(effective_toml(again), toml);
}

TEST(EffectiveJob, AsJsonHasTheKeysAndBothHashesInOneLine) {
  const Job job = parse_job(kJob, "job.toml");
  const std::string text = effective_json(job);
  EXPECT_EQ(text.find('\n'), std::string::npos);
  const nlohmann::json value = nlohmann::json::parse(text);
  EXPECT_EQ(value.at("job").at("optim.lr"), 0.001);
  EXPECT_EQ(value.at("job").at("data.train").size(), 2u);
  EXPECT_EQ(value.at("job_hash"), job_hash(job));
  EXPECT_EQ(value.at("resume_hash"), resume_hash(job));
}

}  // namespace
}  // namespace ptrain::job
