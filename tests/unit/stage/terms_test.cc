#include "tools/stage/terms.h"

#include <gtest/gtest.h>

namespace ptrain::stage {
namespace {

const job::Layout kAlone = job::Layout::of_stages(1);

TEST(Terms, SayInWhichKeysTwoJobsDiffer) {
  job::Job job;
  const std::string ours = terms_of(job, kAlone, nullptr);
  job.optim.lr = 0.0015;
  EXPECT_EQ(explain_terms(ours, terms_of(job, kAlone, nullptr)),
            "optim.lr: 0.001 here, 0.0015 there");
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

TEST(Terms, SayWhoHoldsWhatWhereTheJobHasLanes) {
  const auto cell = [](std::uint32_t lane) {
    return job::CellIndex{StageIndex(0), LaneIndex(lane)};
  };
  const job::CellGrid grid{.stages = 1, .lanes = 2};
  const job::Layout together(grid, {{cell(0), cell(1)}});
  const job::Layout apart(grid, {{cell(0)}, {cell(1)}});
  job::Job job;
  job.lanes.count = 2;
  EXPECT_EQ(explain_terms(terms_of(job, together, nullptr), terms_of(job, apart, nullptr)),
            "cells of the processes: 0,0 0,1 here, 0,0; 0,1 there");
  EXPECT_NE(hash_of(job, together), hash_of(job, apart));
  EXPECT_EQ(hash_of(job::Job{}, kAlone), job::job_hash(job::Job{}));
}

TEST(Terms, ThatAreNoneExplainNothing) {
  const std::string ours = terms_of(job::Job{}, kAlone, nullptr);
  for (const char* theirs :
       {"", "{", "[]", "{\"job\":1}", "{\"job\":\"x\",\"data\":[]}", "{\"job\":{},\"cells\":1}"}) {
    EXPECT_NO_THROW(explain_terms(ours, theirs)) << theirs;
  }
  EXPECT_EQ(explain_terms(ours, "{"), "");
}

}  // namespace
}  // namespace ptrain::stage
