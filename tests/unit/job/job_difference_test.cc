#include "libcommon/job/job_difference.h"

#include <gtest/gtest.h>

namespace ptrain::job {
namespace {

std::string words(const Job& ours, const Job& theirs) {
  return here_and("there", job_differences(canonical_json(ours), canonical_json(theirs)));
}

TEST(JobDifference, NamesTheKeysAndBothValuesInTheOrderOfTheJobFile) {
  Job job;
  EXPECT_EQ(words(job, job), "");
  job.optim.lr = 0.0015;
  EXPECT_EQ(words(Job{}, job), "optim.lr: 0.001 here, 0.0015 there");
  job.wire_forward = WireCodec::int8;
  job.model.hidden_size = 64;
  EXPECT_EQ(words(job, Job{}),
            "model.hidden_size: 64 here, 0 there; optim.lr: 0.0015 here, 0.001 there; "
            "wire.forward: \"int8\" here, \"fp32\" there");
}

TEST(JobDifference, IsNotOfWhatEachHostDecidesForItself) {
  Job job;
  job.checkpoint.dir = "elsewhere";
  job.data.train = {"other/*.bin"};
  EXPECT_EQ(words(Job{}, job), "");
}

TEST(JobDifference, OfVeryManyKeysSomeAreNamedAndTheOthersCounted) {
  const auto one_each = [](int keys) {
    std::string text;
    for (int i = 0; i < keys; ++i) text += (i > 0 ? ",\"k" : "\"k") + std::to_string(i) + "\":1";
    return "{" + text + "}";
  };
  const auto said = [&](std::size_t keys) {
    return here_and("there", job_differences("{}", one_each(static_cast<int>(keys))));
  };
  EXPECT_EQ(said(kMostKeysNamed).find("more"), std::string::npos);
  EXPECT_TRUE(said(kMostKeysNamed + 1).ends_with("; and 1 more")) << said(kMostKeysNamed + 1);
}

TEST(JobDifference, WhatAPeerWroteIsShownShortOnOneLineAndWithoutWhatATerminalObeys) {
  const std::string evil = R"({"optim.lr":")" + std::string(5000, 'x') + R"(","\u001b[2J\n":"\n"})";
  const std::string said = here_and("there", job_differences(R"({"optim.lr":1})", evil));
  EXPECT_LT(said.size(), 400u);
  EXPECT_EQ(said.find('\n'), std::string::npos);
  EXPECT_EQ(said.find('\x1b'), std::string::npos);
  EXPECT_NE(said.find("optim.lr: 1 here, "), std::string::npos) << said;
}

TEST(JobDifference, AKeyThatOnlyOneHasIsNotSetInTheOther) {
  EXPECT_EQ(here_and("there", job_differences("{}", R"({"optim.lr":1})")),
            "optim.lr: not set here, 1 there");
  for (const char* no_job : {"", "[]", "{", "text"}) {
    EXPECT_EQ(here_and("there", job_differences(no_job, no_job)), "") << no_job;
  }
}

TEST(JobDifference, OfACheckpointTellsWhatForbidsToResumeFromWhatHasOnlyChanged) {
  Job saved;
  saved.train.steps = 200;
  Job job = saved;
  job.train.steps = 400;
  EXPECT_TRUE(lineage_differences(job, canonical_json(saved)).empty());
  EXPECT_EQ(changes(run_differences(job, canonical_json(saved))), "train.steps: 200 -> 400");
  job.train.seed = 7;
  EXPECT_EQ(here_and("in the checkpoint", lineage_differences(job, canonical_json(saved))),
            "train.seed: 7 here, 0 in the checkpoint");
  EXPECT_TRUE(lineage_differences(job, "").empty()) << "an imported model is of no job";
}

}  // namespace
}  // namespace ptrain::job
