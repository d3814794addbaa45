#include "libcommon/plan/planner.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libcommon/base/error.h"
#include "tests/unit/plan/sample_files.h"

namespace ptrain::plan {
namespace {

using ::testing::HasSubstr;

// Hosts a, b and so on, with good links to each other.
Links links_of(std::size_t count, std::string_view more = "") {
  std::string hosts;
  for (std::size_t i = 0; i < count; ++i) {
    hosts += fmt::format(R"({}{{"name":"{}","out_bytes_per_s":1e8,"in_bytes_per_s":1e8}})",
                         i == 0 ? "" : ",", static_cast<char>('a' + i));
  }
  return read_links(
      fmt::format(R"({{"kind":"links","version":1,"time_s":100,"hosts":[{}],"pairs":[{}]}})", hosts,
                  more),
      "links.json");
}

constexpr std::string_view kAB = R"({"from":"a","to":"b","round_trip_s":0.001})";
constexpr std::string_view kNear =
    R"({"from":"a","to":"b","round_trip_s":0.001},{"from":"b","to":"c","round_trip_s":0.001},
       {"from":"a","to":"c","round_trip_s":0.001})";

Planned planned(const job::Job& job, const Links& links, const std::string& compute,
                std::vector<std::int64_t> micros = {}, std::string numerics = "") {
  const std::vector<HostCompute> hosts = read_compute(compute, "compute.jsonl");
  return make_plan({.job = job,
                    .links = links,
                    .compute = hosts,
                    .other_micros = std::move(micros),
                    .numerics = std::move(numerics)});
}

// What planned() says of why it refuses.
template <class... Arguments>
std::string refusal(ErrorKind kind, const Arguments&... arguments) {
  try {
    planned(arguments...);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind);
    return error.what();
  }
  return "";
}

std::string why(const Planned& planned, const std::string& host) {
  for (const UnusedHost& each : planned.unused) {
    if (each.host == host) return each.why;
  }
  return "";
}

TEST(Planner, SharesBlocksByHowFastHostsAre) {
  const job::Job job = sample_job(9);
  const Planned two =
      planned(job, links_of(2, kAB), compute_line("a", job, 0.1) + compute_line("b", job, 0.05));
  ASSERT_TRUE(two.plan);
  ASSERT_EQ(two.plan->view.size(), 2U);
  const bool a_first = two.plan->view[0].host == "a";
  EXPECT_EQ(two.plan->set,
            std::vector<std::string>{a_first ? R"(pipeline.layers=["2+attention","mlp+6"])"
                                             : R"(pipeline.layers=["6+attention","mlp+2"])"});
  EXPECT_DOUBLE_EQ(two.plan->tokens_per_s * two.plan->step_s, 16 * 64);
  EXPECT_GT(two.plan->tokens_per_s,
            two.plan->explanation["single_host"]["tokens_per_s"].get<double>());
  EXPECT_EQ(two.plan->explanation["single_host"]["host"], "b");
}

TEST(Planner, CutsInsideALayerWhereThatSharesBetter) {
  const job::Job job = sample_job(3);
  const Planned result =
      planned(job, links_of(2, kAB), compute_line("a", job, 0.1) + compute_line("b", job, 0.1));
  ASSERT_TRUE(result.plan);
  EXPECT_EQ(result.plan->set,
            std::vector<std::string>{R"(pipeline.layers=["1+attention","mlp+1"])"});
  const auto& stages = result.plan->explanation["stages"];
  EXPECT_EQ(stages[0]["layers"], "1+attention");
  EXPECT_EQ(stages[0]["holds"], "embedding, layer 0, attention of layer 1");
  EXPECT_EQ(stages[1]["layers"], "mlp+1");
  EXPECT_EQ(stages[1]["holds"], "MLP of layer 1, layer 2, head");
}

TEST(Planner, SharesOneLayerBetweenTwoHosts) {
  const job::Job job = sample_job(1);
  const Planned result =
      planned(job, links_of(2, kAB), compute_line("a", job, 0.1) + compute_line("b", job, 0.1));
  ASSERT_TRUE(result.plan);
  EXPECT_EQ(result.plan->set, std::vector<std::string>{R"(pipeline.layers=["attention","mlp"])"});
}

TEST(Planner, SaysOfEachHostWhyItIsUnused) {
  const job::Job job = sample_job(2);
  const Links links = links_of(
      6, R"({"from":"a","to":"b","round_trip_s":0.001},{"from":"a","to":"d","failed":"reset"})");
  Links broken = links;
  broken.hosts[4].failed = "asleep";
  const Planned result =
      planned(job, broken,
              compute_line("a", job, 0.1) + compute_line("b", job, 9) +
                  compute_line("c", job, 0.1, "avx512", 100'000'000) +
                  compute_line("e", job, 0.01) + compute_line("f", job, 0.1, "avx2"),
              {}, "avx512");
  ASSERT_TRUE(result.plan);
  EXPECT_EQ(result.plan->view.size(), 1U);
  EXPECT_TRUE(result.plan->explanation["one_machine_is_faster"].get<bool>());
  EXPECT_THAT(why(result, "b"), HasSubstr("computes one part of the model in "));
  EXPECT_THAT(why(result, "c"), HasSubstr("too small for any part of the model: 0 MB are usable"));
  EXPECT_EQ(why(result, "d"), "nothing says how fast it computes");
  EXPECT_EQ(why(result, "e"), "its links could not be measured: asleep");
  EXPECT_EQ(why(result, "f"), "of numerics class avx2");
}

TEST(Planner, MakesNoPlanWhereNothingHasRoom) {
  const job::Job job = sample_job(200);
  const Planned none = planned(job, links_of(2, kAB),
                               compute_line("a", job, 0.1, "avx512", 130'000'000) +
                                   compute_line("b", job, 0.1, "avx512", 130'000'000));
  EXPECT_FALSE(none.plan);
  EXPECT_THAT(why(none, "a"), HasSubstr("too little memory"));
}

TEST(Planner, TakesAnotherMicrobatchOnlyWhereThatIsAllowed) {
  job::Job job = sample_job();
  // Large microbatches save round trips where few are in flight.
  job.pipeline.in_flight = 0;
  const Links links = links_of(2, R"({"from":"a","to":"b","round_trip_s":3})");
  const std::string compute = compute_line("a", job, 0.1) + compute_line("b", job, 0.1);
  const Planned one = planned(job, links, compute);
  const Planned two = planned(job, links, compute, {2});
  ASSERT_TRUE(one.plan && two.plan);
  EXPECT_EQ(one.plan->set.size(), 1U);
  EXPECT_EQ(two.plan->set.at(1), "batch.micro=2");
  EXPECT_GT(two.plan->tokens_per_s, one.plan->tokens_per_s);
  EXPECT_THAT(refusal(ErrorKind::usage, job, links, compute, std::vector<std::int64_t>{3}),
              HasSubstr("a microbatch of 3 does not divide batch.global 16"));
}

TEST(Planner, NamesFilesThatDoNotBelongTogether) {
  const job::Job job = sample_job();
  const Links links = links_of(2, kAB);
  const std::string a = compute_line("a", job, 0.1);
  EXPECT_THAT(refusal(ErrorKind::corrupt, job, links, a + compute_line("z", job, 1)),
              HasSubstr("compute.jsonl:2: host z is not among those of the links"));
  EXPECT_THAT(refusal(ErrorKind::corrupt, job, links, a + compute_line("b", job, 1, "avx2")),
              HasSubstr("host b is of numerics class avx2, a is of avx512"));
  job::Job other = job;
  other.batch.micro = 4;
  EXPECT_THAT(refusal(ErrorKind::corrupt, other, links, a),
              HasSubstr("measured with microbatches of 1, 2, the job has batch.micro = 4"));
  other = job;
  other.precision = job::ComputePrecision::bfloat16;
  EXPECT_THAT(refusal(ErrorKind::corrupt, other, links, a), HasSubstr("precision.compute"));
}

TEST(Planner, TakesBackWhatSaysOtherwiseWhereToCut) {
  job::Job job = sample_job();
  job.pipeline.cut = job::CutBetween::blocks;
  job.pipeline.stages = 5;
  const std::string compute = compute_line("a", job, 0.1) + compute_line("b", job, 0.1);
  const Planned result = planned(job, links_of(2, kAB), compute);
  ASSERT_TRUE(result.plan);
  EXPECT_EQ(result.plan->set,
            (std::vector<std::string>{"pipeline.layers=[4,4]", "pipeline.cut=layers",
                                      "pipeline.stages=2"}));
  job.pipeline.cut = job::CutBetween::layers;
  job.pipeline.stages = 2;
  EXPECT_EQ(planned(job, links_of(2, kAB), compute).plan.value().set.size(), 1U);
}

TEST(Planner, CutsAJobWithALossyCodecAtItsBorders) {
  job::Job job = sample_job();
  job.wire_forward = job::WireCodec::int8;
  job.pipeline.borders = {3, 5};
  const std::string a = with_codec(compute_line("a", job, 0.1), "int8", 1e5);
  const std::string b = with_codec(compute_line("b", job, 0.1), "int8", 1e5);
  const Planned two = planned(job, links_of(2, kAB), a + b);
  ASSERT_TRUE(two.plan);
  EXPECT_EQ(two.plan->set, std::vector<std::string>{"pipeline.layers=[3,5]"});
  const double bytes = 16 * (64 * 64 * 4 + 64 * 64 / 128 * (128 + 4));
  EXPECT_EQ(two.plan->explanation["predicted"]["bytes_per_step"], bytes);

  // A host alone encodes and decodes at each of its borders, without any link.
  const Planned alone = planned(job, links_of(1), a);
  job.pipeline.borders = {3, 2, 3};
  const Planned more = planned(job, links_of(1), a);
  ASSERT_TRUE(alone.plan && more.plan);
  const double a_border_s = 16 * (64 * 64 / 128 * (128 + 4)) * (1 / 1e5 + 1 / 1e5);
  EXPECT_NEAR(more.plan->step_s - alone.plan->step_s, a_border_s + 16 * 64 * 64 * 4 * (2 / 1e10),
              1e-9);
}

// The lines of `set` that are of codecs, where these are offered for activations and gradients and
// the links of two hosts carry so many bytes a second.
std::vector<std::string> codecs_for(double rate_bytes_per_s, job::Job job,
                                    std::vector<job::WireCodec> forward,
                                    std::vector<job::WireCodec> backward) {
  Links links = links_of(2, kAB);
  for (LinkedHost& host : links.hosts) {
    host.out_bytes_per_s = host.in_bytes_per_s = rate_bytes_per_s;
  }
  const std::vector<HostCompute> compute =
      read_compute(compute_line("a", job, 0.001) + compute_line("b", job, 0.001), "compute.jsonl");
  const Planned result = make_plan({.job = job,
                                    .links = links,
                                    .compute = compute,
                                    .other_forward = std::move(forward),
                                    .other_backward = std::move(backward)});
  std::vector<std::string> lines;
  for (const std::string& line : result.plan.value().set) {
    if (line.starts_with("wire.")) lines.push_back(line);
  }
  return lines;
}

TEST(Planner, TakesALossierCodecOnlyWhereItBringsFivePercent) {
  using enum job::WireCodec;
  using Lines = std::vector<std::string>;
  const job::Job job = sample_job();
  const std::vector<job::WireCodec> all{exact, bf16, int8};
  EXPECT_EQ(codecs_for(1e9, job, all, all), Lines{});
  // Of each stage a microbatch takes 27 ms. Its 16 kB take 82 ms at 200 kB/s and 33 ms at 500 kB/s.
  EXPECT_EQ(codecs_for(2e5, job, all, all), (Lines{"wire.forward=int8", "wire.backward=int8"}));
  EXPECT_EQ(codecs_for(2e5, job, {bf16}, {bf16}),
            (Lines{"wire.forward=bf16", "wire.backward=bf16"}));
  EXPECT_EQ(codecs_for(2e5, job, {}, all), Lines{}) << "the other way is as slow as it was";
  EXPECT_EQ(codecs_for(5e5, job, all, all), (Lines{"wire.forward=bf16", "wire.backward=bf16"}));
}

TEST(Planner, GivesACodecThatLosesBackWhereItBringsNothing) {
  using enum job::WireCodec;
  job::Job job = sample_job();
  job.wire_forward = int8;
  EXPECT_EQ(codecs_for(1e9, job, {exact}, {}), std::vector<std::string>{"wire.forward=fp32"});
  EXPECT_EQ(codecs_for(1e9, job, {bf16}, {}), std::vector<std::string>{"wire.forward=bf16"});
  job.precision = job::ComputePrecision::bfloat16;
  EXPECT_EQ(codecs_for(1e9, job, {exact}, {}), std::vector<std::string>{"wire.forward=bf16"});
}

TEST(Planner, RefusesAJobOfSeveralLanes) {
  job::Job job = sample_job();
  job.lanes.count = 2;
  EXPECT_EQ(refusal(ErrorKind::usage, job, links_of(2, kAB),
                    compute_line("a", job, 0.1) + compute_line("b", job, 0.1)),
            "lanes.count = 2: plans are of one lane");
}

TEST(Planner, ExplainsItself) {
  const job::Job job = sample_job();
  const Planned result = planned(
      job, links_of(3, kNear),
      compute_line("a", job, 0.1) + compute_line("b", job, 0.1) + compute_line("c", job, 0.1));
  ASSERT_TRUE(result.plan);
  const auto& why = result.plan->explanation;
  const double speed = result.plan->tokens_per_s;
  EXPECT_EQ(result.plan->view.size(), 3U);
  EXPECT_EQ(why["losses"].size(), 3U);
  for (const auto& loss : why["losses"]) EXPECT_LT(loss["tokens_per_s"].get<double>(), speed);
  for (const auto& change : why["what_if"]) {
    EXPECT_GE(change["tokens_per_s"].get<double>(), 0.99 * speed) << change;
  }
  EXPECT_EQ(why["estimated"].size(), 4U) << "no rate of a pair was measured: " << why["estimated"];
}

TEST(Planner, RefusesWhatIsTooOld) {
  const job::Job job = sample_job();
  const Links links = links_of(1);
  const std::vector<HostCompute> compute =
      read_compute(compute_line("a", job, 0.1), "compute.jsonl");
  const PlanInput input{.job = job, .links = links, .compute = compute};
  EXPECT_NO_THROW(check_age(input, 100));
  EXPECT_THROW(check_age(input, 100.5), Error);
}

TEST(Planner, KnowsWhereAModelCanBeCut) {
  job::Job job = sample_job(2);
  EXPECT_EQ(blocks_of(job.model),
            (std::vector{BlockKind::embedding, BlockKind::attention, BlockKind::mlp,
                         BlockKind::attention, BlockKind::mlp, BlockKind::head}));
  const std::vector<std::size_t> anywhere{0, 2, 3, 4, 6};
  EXPECT_EQ(borders_of(job), anywhere);
  job.pipeline.borders = {{false, 0, true}, {true, 1, false}};
  EXPECT_EQ(borders_of(job), anywhere) << "where nothing is lost, borders change nothing";
  job.wire_backward = job::WireCodec::int8;
  EXPECT_EQ(borders_of(job), (std::vector<std::size_t>{0, 2, 6}));
}

}  // namespace
}  // namespace ptrain::plan
