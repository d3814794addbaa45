#include "tools/stage/terms.h"

#include <gtest/gtest.h>

namespace ptrain::stage {
namespace {

TEST(Terms, SayInWhichKeysTwoJobsDiffer) {
  job::Job job;
  const std::string ours = terms_of(job, nullptr);
  job.optim.lr = 0.0015;
  EXPECT_EQ(explain_terms(ours, terms_of(job, nullptr)), "optim.lr: 0.001 here, 0.0015 there");
  EXPECT_EQ(explain_terms(ours, ours), "");
}

TEST(Terms, SayInWhatTwoDataSetsDifferWhereBothStagesHaveSome) {
  const std::string with = R"({"job":{"optim.lr":1},"data":{"data.train":{"shards":3,"tokens":30,)"
                           R"("first":[]}}})";
  const std::string fewer = R"({"job":{"optim.lr":2},"data":{"data.train":{"shards":2,"tokens":30,)"
                            R"("first":[]},"data.val":{"shards":1,"tokens":9,"first":[]}}})";
  EXPECT_EQ(explain_terms(with, fewer),
            "optim.lr: 1 here, 2 there; data.train: 3 shards here, 2 there; "
            "data.val: 1 shard there, none here");
  EXPECT_EQ(explain_terms(with, R"({"job":{"optim.lr":1}})"), "");
}

TEST(Terms, ThatAreNoneExplainNothing) {
  const std::string ours = terms_of(job::Job{}, nullptr);
  for (const char* theirs : {"", "{", "[]", "{\"job\":1}", "{\"job\":\"x\",\"data\":[]}"}) {
    EXPECT_NO_THROW(explain_terms(ours, theirs)) << theirs;
  }
  EXPECT_EQ(explain_terms(ours, "{"), "");
}

}  // namespace
}  // namespace ptrain::stage
