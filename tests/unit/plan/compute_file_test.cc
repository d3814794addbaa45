#include "libcommon/plan/compute_file.h"

#include <cstddef>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libcommon/base/error.h"
#include "tests/unit/plan/sample_files.h"

namespace ptrain::plan {
namespace {

using ::testing::HasSubstr;

std::string said_of(const std::string& text) {
  try {
    read_compute(text, "compute.jsonl");
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::corrupt);
    return error.what();
  }
  return "";
}

// `line` with the first `what` in it replaced.
std::string with(std::string line, const std::string& what, const std::string& instead) {
  const std::size_t at = line.find(what);
  EXPECT_NE(at, std::string::npos) << what;
  return line.replace(at, what.size(), instead);
}

TEST(ComputeFile, HasAHostALine) {
  const job::Job job = sample_job();
  const std::vector<HostCompute> hosts =
      read_compute(compute_line("a", job, 0.25) + compute_line("b", job, 0.5), "compute.jsonl");
  ASSERT_EQ(hosts.size(), 2U);
  EXPECT_EQ(hosts[1].name, "b");
  EXPECT_EQ(hosts[1].where, "compute.jsonl:2");
  EXPECT_EQ(hosts[1].blocks.at(1)[index_of(BlockKind::mlp)].forward_s, 0.5);
  EXPECT_EQ(hosts[0].codecs.at("fp32").encode_bytes_per_s, 1e10);
  EXPECT_NO_THROW(check_shape(hosts[0], job));
}

TEST(ComputeFile, IsReadAsItWasWritten) {
  const std::string line = compute_line("a", sample_job(), 0.25);
  HostCompute host = read_compute(line, "compute.jsonl").front();
  host.time_s = 1796026900.5;
  host.detail = {{"threads", 4}};
  const std::string written = write_compute(host);
  EXPECT_EQ(written.find('\n'), std::string::npos);
  const HostCompute again = read_compute(written, "compute.jsonl").front();
  EXPECT_EQ(again.blocks, host.blocks);
  EXPECT_EQ(again.time_s, host.time_s);
  EXPECT_EQ(again.detail, host.detail);
  EXPECT_EQ(write_compute(again), written);
}

TEST(ComputeFile, NamesWhatIsWrong) {
  const std::string line = compute_line("a", sample_job(), 0.25);
  EXPECT_EQ(said_of(line), "");
  EXPECT_EQ(said_of(""), "compute.jsonl: no host in it");
  EXPECT_EQ(said_of(line + line), "compute.jsonl:2: host a has a line before this one");
  EXPECT_THAT(said_of(with(line, "0.25", "-0.25")),
              HasSubstr("forward_s is -0.25, expected a number, 0 or more"));
  EXPECT_THAT(said_of(with(line, "0.25", "0")),
              HasSubstr("forward_s is 0, expected a number above"));
  EXPECT_THAT(said_of(with(line, "0.25", "1e-10")),
              HasSubstr("forward_s is 1e-10, expected a number from 1e-09 to 1000000000000000"));
  EXPECT_EQ(said_of(with(line, "0.25", "1e-9")), "");
  EXPECT_EQ(said_of(with(line, "0.25", "1e15")), "");
  EXPECT_THAT(said_of(with(line, "0.25", "2e15")), HasSubstr("forward_s is 2e+15, expected"));
  EXPECT_THAT(said_of(with(line, "0.25", "NaN")), HasSubstr("compute.jsonl:1: not JSON at byte"));
  EXPECT_THAT(said_of(with(line, "\"block\":\"mlp\"", "\"block\":\"moe\"")),
              HasSubstr("block is \"moe\", expected embedding, attention, mlp or head"));
  EXPECT_THAT(said_of(with(line, "\"block\":\"mlp\"", "\"block\":\"head\"")),
              HasSubstr("block is \"head\", expected one that was not there before with micro 1"));
  EXPECT_THAT(said_of(with(line, "\"micro\":1", "\"micro\":2")),
              HasSubstr("expected one that was not there before with micro 2"));
  EXPECT_THAT(said_of(with(line, "\"cores\":4", "\"cores\":0")),
              HasSubstr("cores is 0, expected a whole number from 1 to "));
  EXPECT_THAT(
      said_of(with(line, "\"free_bytes\":8000000000", "\"free_bytes\":1e11")),
      HasSubstr("free_bytes is 100000000000.0, expected a whole number from 0 to 16000000000"));
  EXPECT_THAT(said_of(with(line, "\"cores\"", "\"corse\"")), HasSubstr("no key \"cores\""));
}

TEST(ComputeFile, IsOfOneJobsShapes) {
  job::Job job = sample_job();
  const HostCompute host = read_compute(compute_line("a", job, 0.25), "compute.jsonl")[0];
  job.train.steps = 5;  // which no block depends on
  EXPECT_NO_THROW(check_shape(host, job));
  job.model.intermediate_size = 64;
  try {
    check_shape(host, job);
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(),
                 "compute.jsonl:1: host a was measured with model.intermediate_size = 128, the job "
                 "has 64");
  }
}

}  // namespace
}  // namespace ptrain::plan
