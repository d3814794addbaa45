#include "libcommon/plan/border_codecs.h"

#include <gtest/gtest.h>

namespace ptrain::plan {
namespace {

TEST(BorderCodecs, KnowWhatCrosses) {
  EXPECT_EQ(border_bytes(job::WireCodec::fp32, 100), 400U);
  EXPECT_EQ(border_bytes(job::WireCodec::bf16, 100), 200U);
  EXPECT_EQ(border_bytes(job::WireCodec::int8, 128), 132U);
  EXPECT_EQ(border_bytes(job::WireCodec::int8, 129), 137U);
}

TEST(BorderCodecs, AreOfferedFromTheLeastLossyOn) {
  using enum job::WireCodec;
  job::Job job;
  job.wire_forward = int8;
  EXPECT_EQ(codec_pairs(job, {}, {}), (std::vector<CodecPair>{{int8, fp32, 2}}));
  EXPECT_EQ(codec_pairs(job, {exact, fp32, bf16}, {bf16, bf16}),
            (std::vector<CodecPair>{{fp32, fp32, 0},
                                    {fp32, bf16, 1},
                                    {bf16, fp32, 1},
                                    {int8, fp32, 2},
                                    {bf16, bf16, 2},
                                    {int8, bf16, 3}}));
  // What is computed in bfloat16 loses nothing in it, nor in more.
  job.precision = job::ComputePrecision::bfloat16;
  EXPECT_EQ(codec_pairs(job, {exact, fp32}, {}),
            (std::vector<CodecPair>{{bf16, bf16, 0}, {fp32, bf16, 0}, {int8, bf16, 2}}));
}

}  // namespace
}  // namespace ptrain::plan
