#include "libcommon/job/job_file.h"

#include <cstdlib>
#include <fstream>
#include <string>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libcommon/base/error.h"

namespace ptrain::job {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

constexpr const char* kSmallJob = R"([model]
vocab_size = 256
hidden_size = 64
intermediate_size = 128
num_hidden_layers = 4
num_attention_heads = 4

[data]
train = "train.bin"
val = "val.bin"
seq_len = 32

[batch]
global = 8
micro = 2

[train]
steps = 100
)";

Job parse(const std::vector<std::string>& overrides) {
  return parse_job(kSmallJob, "small.toml", overrides);
}

// What the refusal of a job says: its text and its hint.
std::string refusal(std::string_view toml, const std::vector<std::string>& overrides = {}) {
  try {
    parse_job(toml, "jobs/x.toml", overrides);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    return error.what() + std::string("\n") + error.hint();
  }
  return "accepted";
}

std::string refusal_of(const std::string& override_text) {
  return refusal(kSmallJob, {override_text});
}

const std::string kWarmJob = std::string(kSmallJob) + "[optim]\nwarmup_steps = 40\n";

std::uint64_t warmup_of(const std::vector<std::string>& overrides, Remarks* remarks = nullptr) {
  return parse_job(kWarmJob, "jobs/x.toml", overrides, remarks).optim.warmup_steps;
}

TEST(JobFile, AShorterRunHasAShorterWarmUpAndSaysSo) {
  Remarks remarks;
  EXPECT_EQ(warmup_of({"train.steps=10"}, &remarks), 4U);
  EXPECT_THAT(remarks, ElementsAre("--set train.steps=10: the warm-up is shortened to "
                                   "optim.warmup_steps = 4; jobs/x.toml:20:16: "
                                   "optim.warmup_steps = 40"));
  remarks.clear();
  EXPECT_EQ(warmup_of({"train.steps=1"}, &remarks), 1U);
  EXPECT_EQ(warmup_of({"train.steps=90", "train.steps=10"}), 4U);
  remarks.clear();
  EXPECT_EQ(warmup_of({"train.steps=40"}, &remarks), 40U);
  EXPECT_THAT(remarks, IsEmpty());
}

TEST(JobFile, AWarmUpThatSomebodyAskedForIsRefusedWhereItIsTooLong) {
  EXPECT_THAT(refusal(kWarmJob, {"train.steps=10", "optim.warmup_steps=20"}),
              HasSubstr("--set optim.warmup_steps=20: must be at most train.steps = 10"));
  EXPECT_THAT(refusal(kWarmJob, {"optim.warmup_steps=101"}), HasSubstr("must be at most"));
  EXPECT_THAT(refusal(std::string(kSmallJob) + "[optim]\nwarmup_steps = 101\n"),
              HasSubstr("must be at most train.steps = 100"));
}

TEST(JobFile, AWarmUpLongerThanTheFilesOwnRunFillsAShorterOne) {
  const std::string all_warm = std::string(kSmallJob) + "[optim]\nwarmup_steps = 101\n";
  EXPECT_EQ(parse_job(all_warm, "x", {"train.steps=7"}).optim.warmup_steps, 7U);
  EXPECT_EQ(parse_job(all_warm, "x", {"train.steps=200"}).optim.warmup_steps, 101U);
}

class JobFileOnDisk : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "ptrain-job-XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name) << text;
    return folder_ / name;
  }

  std::filesystem::path folder_;
};

TEST(JobFile, ReadsKeysAndFillsInTheRest) {
  const Job job = parse({});
  EXPECT_EQ(job.model.hidden_size, 64);
  EXPECT_EQ(job.model.num_key_value_heads, 4);
  EXPECT_EQ(job.model.head_dim, 16);
  EXPECT_EQ(job.model.max_position_embeddings, 32);
  EXPECT_THAT(job.data.train, ElementsAre("train.bin"));
  EXPECT_EQ(job.data.tokenizer, "bytes");
  EXPECT_EQ(job.batch.microbatches(), 4);
  EXPECT_EQ(job.optim.lr, OptimConfig{}.lr);
  EXPECT_EQ(job.pipeline.schedule, PipelineSchedule::one_f_one_b);
}

TEST(JobFile, OverridesReplaceTheFileAndLaterOnesReplaceEarlierOnes) {
  const Job job =
      parse({"optim.lr=1", "optim.lr = 3e-4", "data.train=[\"a\", \"b*\"]", "data.val=v*.bin",
             "optim.betas=[0.8, 0.99]", "pipeline.layers=[3,1]", "pipeline.schedule=gpipe",
             "wire.forward=\"int8\"", "precision.compute=bfloat16", "train.recompute=layer",
             "model.tie_word_embeddings=true", "checkpoint.dir=a=b"});
  EXPECT_EQ(job.optim.lr, 3e-4);
  EXPECT_THAT(job.data.train, ElementsAre("a", "b*"));
  EXPECT_THAT(job.data.val, ElementsAre("v*.bin"));
  EXPECT_EQ(job.optim.beta1, 0.8);
  EXPECT_EQ(job.optim.beta2, 0.99);
  EXPECT_THAT(job.pipeline.layers, ElementsAre(3, 1));
  EXPECT_EQ(job.pipeline.schedule, PipelineSchedule::gpipe);
  EXPECT_EQ(job.wire_forward, WireCodec::int8);
  EXPECT_EQ(job.wire_backward, WireCodec::bf16);
  EXPECT_EQ(job.precision, ComputePrecision::bfloat16);
  EXPECT_EQ(job.train.recompute, Recompute::layer);
  EXPECT_TRUE(job.model.tie_word_embeddings);
  EXPECT_EQ(job.checkpoint.dir, "a=b");
}

TEST(JobFile, RefusalsNameFileLineColumnKeyValueAndWhatIsAllowed) {
  EXPECT_THAT(refusal("[optim]\nname = \"adamw\"\nlr = -1\n"),
              StartsWith("jobs/x.toml:3:6: optim.lr = -1: must be above 0, at most 100"));
  EXPECT_THAT(refusal("[train]\nsteps = \"ten\"\n"),
              StartsWith("jobs/x.toml:2:9: train.steps = \"ten\": expected an integer, 1 to "
                         "100000000, not a string"));
  EXPECT_THAT(
      refusal("[wire]\nforward = \"fp16\"\n"),
      StartsWith("jobs/x.toml:2:11: wire.forward = \"fp16\": must be \"exact\" or \"fp32\" or "));
}

TEST(JobFile, TheWireIsExactUnlessAskedOtherwise) {
  const auto wire = [](const std::vector<std::string>& overrides) {
    const Job job = parse(overrides);
    return std::pair(job.wire_forward, job.wire_backward);
  };
  using enum WireCodec;
  EXPECT_EQ(wire({}), std::pair(fp32, fp32));
  EXPECT_EQ(wire({"precision.compute=bfloat16"}), std::pair(bf16, bf16));
  EXPECT_EQ(wire({"precision.compute=bfloat16", "wire.forward=exact", "wire.backward=fp32"}),
            std::pair(bf16, fp32));
  EXPECT_EQ(wire({"wire.forward=bf16", "wire.backward=int8"}), std::pair(bf16, int8));
}

TEST(JobFile, UnknownKeysAreRefusedWithTheNearestKnownOne) {
  EXPECT_THAT(refusal("[model]\nhiden_size = 3\n"),
              StartsWith("jobs/x.toml:2:1: unknown key model.hiden_size\n"
                         "did you mean model.hidden_size?"));
  EXPECT_THAT(refusal("[train]\nlr = 3\n"), HasSubstr("did you mean optim.lr?"));
  EXPECT_THAT(refusal("[eval]\nzigzag = 3\n"),
              HasSubstr("the keys there are eval.every, eval.sequences"));
  EXPECT_THAT(refusal("[loss]\n"), HasSubstr("the tables are model, data, batch"));
  EXPECT_THAT(refusal("[optim.lr]\n"), HasSubstr("not a table"));
  EXPECT_THAT(refusal("model = 3\n"), StartsWith("jobs/x.toml:1:1: model is a table"));
}

TEST(JobFile, RefusalsOfOverridesQuoteThem) {
  EXPECT_THAT(refusal_of("optim.lr=-1"), StartsWith("--set optim.lr=-1: must be above 0"));
  EXPECT_THAT(refusal_of("optim.lrr=1"), StartsWith("--set optim.lrr=1: unknown key optim.lrr"));
  EXPECT_THAT(refusal_of("optim.lr"), StartsWith("--set optim.lr: expected KEY=VALUE"));
  EXPECT_THAT(refusal_of("batch.micro=3"),
              StartsWith("--set batch.micro=3: must divide batch.global = 8"));
}

TEST(JobFile, WhatIsMissingIsNamed) {
  EXPECT_THAT(refusal("[model]\nvocab_size = 256\n"),
              StartsWith("jobs/x.toml: model.hidden_size is missing\n"));
}

TEST(JobFile, NumbersThatAreNotFiniteOrDoNotFitAreRefused) {
  EXPECT_THAT(refusal_of("optim.lr=nan"), HasSubstr("must be"));
  EXPECT_THAT(refusal_of("optim.lr=inf"), HasSubstr("must be"));
  EXPECT_THAT(refusal_of("optim.weight_decay=-inf"), HasSubstr("must be"));
  EXPECT_THAT(refusal_of("optim.betas=[0.9, nan]"), HasSubstr("each must be"));
  EXPECT_THAT(refusal_of("train.steps=9223372036854775807"), HasSubstr("must be"));
  EXPECT_THAT(refusal_of("train.steps=9223372036854775808"), StartsWith("--set train.steps="));
  EXPECT_THAT(refusal_of("train.steps=1e3"), HasSubstr("not a number with a fraction"));
  EXPECT_THAT(refusal_of("train.steps=1979-05-27"), HasSubstr("not a date or time"));
}

TEST(JobFile, ValuesThatContradictEachOtherAreRefused) {
  EXPECT_THAT(refusal_of("model.num_attention_heads=5"),
              StartsWith("jobs/x.toml:3:15: model.hidden_size = 64: must be a multiple of "
                         "model.num_attention_heads = 5"));
  EXPECT_THAT(refusal_of("model.num_key_value_heads=3"), HasSubstr("must divide"));
  EXPECT_THAT(refusal_of("model.head_dim=15"), HasSubstr("must be even"));
  EXPECT_THAT(refusal_of("model.num_attention_heads=64"), HasSubstr("must be even"));
  EXPECT_THAT(refusal_of("model.max_position_embeddings=31"), HasSubstr("must be at most"));
  EXPECT_THAT(refusal_of("optim.warmup_steps=101"), HasSubstr("must be at most train.steps"));
  EXPECT_THAT(refusal_of("pipeline.layers=[1,2]"), HasSubstr("adds up to 3"));
  EXPECT_THAT(refusal_of("pipeline.layers=[4,0]"), HasSubstr("each must be 1 to"));
  EXPECT_THAT(refusal_of("pipeline.layers=['1+attention','mlp+1']"), HasSubstr("adds up to 3"));
  EXPECT_THAT(refusal(kSmallJob, {"pipeline.layers=[2,2]", "pipeline.cut=blocks"}),
              HasSubstr("pipeline.layers says already where to cut"));
  EXPECT_THAT(refusal_of("data.train=[]"), HasSubstr("at least one file"));
  EXPECT_THAT(refusal(kSmallJob, {"eval.every=5", "data.val=[]"}), HasSubstr("without data.val"));
  EXPECT_THAT(refusal(kSmallJob, {"pipeline.schedule=gpipe", "pipeline.in_flight=4"}),
              HasSubstr("gpipe holds every microbatch"));
  EXPECT_THAT(refusal_of("pipeline.in_flight=-1"), HasSubstr("must be 0 to 65536, or \"auto\""));
  EXPECT_THAT(refusal_of("pipeline.in_flight=fast"), HasSubstr("or \"auto\""));
  EXPECT_THAT(refusal(kSmallJob, {"model.hidden_size=131072", "model.num_attention_heads=1"}),
              HasSubstr("must be at most 1024"));
}

TEST(JobFile, ACutInsideALayerIsAnotherJobAndItsKeysLeaveNoTraceWhereThereIsNone) {
  const auto job = [](const std::vector<std::string>& overrides) {
    return parse_job(kSmallJob, "job.toml", overrides);
  };
  EXPECT_EQ(job_hash(job({"pipeline.cut=layers"})), job_hash(job({})));
  EXPECT_EQ(canonical_json(job({})).find("pipeline.cut"), std::string::npos);
  EXPECT_NE(job_hash(job({"pipeline.cut=blocks"})), job_hash(job({})));
  EXPECT_EQ(job_hash(job({"pipeline.layers=['3',1]"})), job_hash(job({"pipeline.layers=[3,1]"})));
  const Job inside = job({"pipeline.layers=['2+attention','mlp+1']"});
  EXPECT_THAT(canonical_json(inside), HasSubstr(R"("pipeline.layers":["2+attention","mlp+1"])"));
  EXPECT_EQ(resume_hash(inside), resume_hash(job({})));
}

TEST(JobFile, AnAutomaticDepthIsTheDefaultAndHasTheHashOfTheOneBeforeIt) {
  EXPECT_EQ(parse({}).pipeline.in_flight, kAutoInFlight);
  EXPECT_EQ(parse({"pipeline.in_flight=7"}).pipeline.in_flight, 7);
  EXPECT_EQ(parse({"pipeline.in_flight=7", "pipeline.in_flight=auto"}).pipeline.in_flight,
            kAutoInFlight);
  EXPECT_EQ(job_hash(parse({})), job_hash(parse({"pipeline.in_flight=0"})));
  EXPECT_NE(job_hash(parse({})), job_hash(parse({"pipeline.in_flight=7"})));
}

TEST(JobFile, ValuesAtTheEdgeOfAContradictionAreTaken) {
  EXPECT_EQ(parse({"optim.warmup_steps=100"}).optim.warmup_steps, 100u);
  EXPECT_EQ(parse({"model.num_key_value_heads=1"}).model.num_key_value_heads, 1);
  EXPECT_EQ(parse({"model.max_position_embeddings=32"}).model.max_position_embeddings, 32);
  EXPECT_EQ(parse({"model.num_attention_heads=5", "model.head_dim=16"}).model.head_dim, 16);
}

TEST(JobFile, TextThatIsNotTomlIsRefusedWhereItStops) {
  EXPECT_THAT(refusal("[model]\nvocab_size = \n"), StartsWith("jobs/x.toml:2:"));
  EXPECT_THAT(refusal("[model]\nvocab_size = 1\nvocab_size = 2\n"), StartsWith("jobs/x.toml:3:"));
  EXPECT_THAT(refusal("\xff\xfe"), StartsWith("jobs/x.toml:1:"));
}

TEST(JobFile, AnErrorShowsNoControlCharacters) {
  const std::string text = refusal("[model]\n\"voc\\u001b[2J\" = 3\n");
  EXPECT_THAT(text, HasSubstr("voc\\u001b[2J"));
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
}

TEST(JobFile, AListOfGlobsHasALimit) {
  const auto globs = [](std::size_t count) {
    std::string list = "data.train=[";
    for (std::size_t i = 0; i < count; ++i) list += "\"x\",";
    return list + "]";
  };
  EXPECT_EQ(parse({globs(4096)}).data.train.size(), 4096u);
  EXPECT_THAT(refusal_of(globs(4097)), HasSubstr("at most 4096 globs"));
}

TEST_F(JobFileOnDisk, IsReadUpToItsLimit) {
  std::string text = kSmallJob;
  text += "#" + std::string(kJobFileMaxBytes - text.size() - 1, ' ');
  EXPECT_EQ(load_job(write("full.toml", text)).model.hidden_size, 64);
  EXPECT_THROW(load_job(write("over.toml", text + " ")), Error);
}

TEST_F(JobFileOnDisk, ThatIsNotThereIsAnErrorThatNamesIt) {
  try {
    load_job(folder_ / "none.toml");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::io);
    EXPECT_THAT(error.what(), HasSubstr("none.toml: No such file"));
  }
}

TEST_F(JobFileOnDisk, TakesTheModelFromAConfigJsonBesideIt) {
  write("config.json", R"({"model_type": "llama", "vocab_size": 1000, "hidden_size": 96,
    "intermediate_size": 256, "num_hidden_layers": 6, "num_attention_heads": 6,
    "rope_parameters": {"rope_type": "default", "rope_theta": 5000.0}})");
  const std::string rest =
      "[data]\ntrain = \"t\"\nseq_len = 8\n[batch]\nglobal = 2\nmicro = 1\n"
      "[train]\nsteps = 3\n[model]\nconfig = \"config.json\"\n";
  const Job job = load_job(write("job.toml", rest));
  EXPECT_EQ(job.model.hidden_size, 96);
  EXPECT_EQ(job.model.head_dim, 16);
  EXPECT_EQ(job.model.rms_norm_eps, 1e-6);
  EXPECT_EQ(job.model.rope_theta, 5000.0);

  // What the file leaves open follows from the keys that replace the file's.
  const Job wider = load_job(folder_ / "job.toml", {"model.hidden_size=192"});
  EXPECT_EQ(wider.model.head_dim, 32);
  EXPECT_EQ(load_job(folder_ / "job.toml", {"model.rope_theta=7"}).model.rope_theta, 7.0);
  EXPECT_THROW(load_job(folder_ / "job.toml", {"model.config=none.json"}), Error);
}

TEST_F(JobFileOnDisk, TakesAConfigJsonAsPeoplesEditorsLeaveIt) {
  const std::string rest =
      "[data]\ntrain = \"t\"\nseq_len = 8\n[batch]\nglobal = 2\nmicro = 1\n"
      "[train]\nsteps = 3\n[model]\nconfig = \"config.json\"\n";
  const std::string config =
      R"("vocab_size": 1000, "hidden_size": 96, "intermediate_size": 256, "num_hidden_layers": 6,
         "num_attention_heads": 6})";
  write("job.toml", rest);
  write("config.json", "\xef\xbb\xbf\r\n {\"rope_parameters\": {\"rope_theta\": 5.0}, " + config);
  EXPECT_EQ(load_job(folder_ / "job.toml").model.rope_theta, 5.0);
  EXPECT_EQ(load_job(folder_ / "job.toml", {"model.rope_theta=7"}).model.rope_theta, 7.0);
  for (const std::string& text :
       {std::string(), std::string("[]"), "{\"vocab_size\": 7, " + config}) {
    write("config.json", text);
    try {
      load_job(folder_ / "job.toml");
      ADD_FAILURE() << "accepted: " << text;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::usage);
      EXPECT_THAT(error.what(), HasSubstr("config.json"));
    }
  }
}

}  // namespace
}  // namespace ptrain::job
