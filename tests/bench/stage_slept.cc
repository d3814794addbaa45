// One stage of a pipeline whose arithmetic is sleep: the real engine, sessions and relays with a
// cell that takes as long as it is told to, so that an emulated network and the computing do not
// share the machine's processors. tests/bench/wan.sh runs it. Stage 0 prints one JSON object a step
// and one at the end, beside the bound that the simulator of schedules gives for the best depth.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "libcommon/base/error.h"
#include "libcommon/data/token_shard_writer.h"
#include "libcommon/job/partition.h"
#include "libcommon/os/stop_signal.h"
#include "libcommon/pipeline/simulator.h"
#include "tests/sim/fake_cell.h"
#include "tools/stage/engine/engine.h"
#include "tools/stage/engine/engine_loop.h"
#include "tools/stage/engine/mesh_post.h"
#include "tools/stage/engine/resumption.h"
#include "tools/stage/stage_mesh.h"

namespace {

using namespace ptrain;
using namespace ptrain::stage;

struct Options {
  RunOptions run;
  std::uint32_t stages = 1;
  std::string folder = ".";
  std::uint64_t steps = 8;
  std::int64_t microbatches = 32;
  double compute_ms = 100;  // of one microbatch, forward and backward
  std::size_t payload_bytes = 256 << 10;
  std::string in_flight = "auto";
  double rate_mbit = 0;  // of a link, for the bound; 0: none
  double one_way_ms = 0;
};

// A backward takes twice as long as a forward.
constexpr double kForwardShare = 1.0 / 3;
// Steps that open windows and choose depths are not counted.
constexpr std::size_t kWarmUp = 4;

job::Job job_of(const Options& options) {
  const auto layers = static_cast<std::int64_t>(options.stages);
  job::Job job;
  job.model = {.vocab_size = 16,
               .hidden_size = 2,
               .intermediate_size = 2,
               .num_hidden_layers = layers,
               .num_attention_heads = 1,
               .num_key_value_heads = 1,
               .head_dim = 2,
               .max_position_embeddings = 4};
  const std::string shard = options.folder + "/shard.bin";
  job.data = {.train = {shard}, .val = {}, .seq_len = 4};
  job.batch = {.global = options.microbatches, .micro = 1};
  job.train = {.steps = options.steps};
  job.checkpoint = {.every = 0, .every_s = 0, .dir = options.folder + "/ckpt"};
  if (options.in_flight != "auto") job.pipeline.in_flight = std::stoll(options.in_flight);
  return job;
}

void write_shard(const std::string& path) {
  const std::vector<std::uint32_t> tokens(64, 1);
  data::TokenShardWriter writer(path, data::TokenWidth::bits16);
  writer.append(tokens);
  os::PosixStorage storage;
  writer.commit(storage);
}

pipeline::PipelineCost cost_of(const Options& options) {
  const double compute_s = options.compute_ms / 1000;
  pipeline::PipelineCost cost;
  cost.stages.assign(options.stages, {.forward_s = compute_s * kForwardShare,
                                      .backward_s = compute_s * (1 - kForwardShare)});
  cost.links.assign(options.stages - 1, {.latency_s = options.one_way_ms / 1000,
                                         .bandwidth_bytes_per_s = options.rate_mbit * 1e6 / 8,
                                         .forward_bytes = options.payload_bytes,
                                         .backward_bytes = options.payload_bytes});
  cost.shared_uplinks = true;  // the laboratory's hosts have one link each
  return cost;
}

// The shortest step of any depth, seconds.
double bound_s(const Options& options) {
  const auto cost = cost_of(options);
  double best = std::numeric_limits<double>::infinity();
  for (std::int64_t depth = 1; depth <= options.microbatches; ++depth) {
    const auto run = pipeline::simulate(cost, job::PipelineSchedule::one_f_one_b,
                                        static_cast<std::uint32_t>(options.microbatches), depth);
    if (const auto* prediction = std::get_if<pipeline::Prediction>(&run)) {
      best = std::min(best, prediction->makespan_s);
    }
  }
  return best;
}

void print(const nlohmann::ordered_json& line) {
  std::fputs((line.dump() + "\n").c_str(), stdout);
  std::fflush(stdout);
}

void print_summary(const Options& options, std::vector<double> steps) {
  steps.erase(steps.begin(), steps.begin() + std::min(kWarmUp, steps.size() - 1));
  std::ranges::sort(steps);
  const double median = steps[steps.size() / 2];
  const double work = options.compute_ms / 1000 * static_cast<double>(options.microbatches);
  nlohmann::ordered_json summary{{"name", "summary"},
                                 {"stages", options.stages},
                                 {"step_s", median},
                                 {"utilisation", work / median}};
  if (options.rate_mbit > 0 && options.stages > 1) {
    const double bound = bound_s(options);
    summary["bound_step_s"] = bound;
    summary["bound_utilisation"] = work / bound;
    summary["of_bound"] = bound / median;
  }
  print(summary);
}

int run(const Options& options) {
  const os::StopSignal stop("stage_slept");
  const SteadyClock clock;
  StderrLog log(fmt::format("stage {}", options.run.stage));
  const job::Job job = job_of(options);
  write_shard(job.data.train.front());
  const JobData data(job);
  const Membership member = membership(options.run, job);
  const std::uint32_t stages = member.place.stages();
  const job::StageSpan span = job::partition(job, stages)[member.place.stage().value()];
  const bool has_data = span.embedding || span.head;
  std::unique_ptr<net::Mesh> mesh;
  if (member.place.workers() > 1) {
    mesh = open_mesh(options.run, member, job, has_data ? &data : nullptr, log, clock);
    mesh->await_peers();
  }
  MeshPost post(mesh.get(), member.place, send_ahead(job));
  sim::FakeCell cell(job, span,
                     {.payload_bytes = options.payload_bytes, .compute = [&](bool forward) {
                        const double share = forward ? kForwardShare : 1 - kForwardShare;
                        std::this_thread::sleep_for(
                            std::chrono::duration<double, std::milli>(options.compute_ms * share));
                      }});
  Inbox inbox(post.place(), static_cast<std::uint32_t>(options.microbatches));
  WaitMeter meter;
  const auto stop_requested = [&] { return stop.requested(); };
  EngineLoop loop(post, inbox, meter, stop_requested, clock);
  os::PosixStorage storage(&log);
  Checkpointer checkpointer(job, span, post, inbox, cell, storage, log, clock);
  Resumption resumption(checkpointer, parse_resume_mode("auto"), has_data ? &data : nullptr);
  loop.run(resumption);
  std::vector<double> steps;
  const auto on_step = [&](const metrics::StepRecord& record) {
    steps.push_back(record.step_s);
    if (options.run.stage != 0) return;
    print({{"name", "step"},
           {"step", record.step},
           {"step_s", record.step_s},
           {"in_flight", record.in_flight},
           {"wait_s", record.wait_s}});
  };
  Engine engine({.job = job,
                 .cell = cell,
                 .post = post,
                 .inbox = inbox,
                 .checkpointer = checkpointer,
                 .waits = meter,
                 .most_in_flight = static_cast<std::uint32_t>(options.microbatches),
                 .stop_requested = stop_requested,
                 .observer = {.on_step = on_step,
                              .on_eval = [](const auto&) {},
                              .on_checkpoint = [](const auto&) {},
                              .on_in_flight = [](auto, auto) {}},
                 .clock = clock},
                resumption.choice());
  loop.run(engine);
  if (options.run.stage == 0) print_summary(options, std::move(steps));
  if (mesh) mesh->close(std::chrono::seconds(10));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  RunOptions& o = options.run;
  CLI::App app("One stage of a pipeline whose arithmetic is sleep");
  app.add_option("--stage", o.stage);
  app.add_option("--of", options.stages, "How many stages there are");
  app.add_option("--endpoints", o.endpoints_file);
  app.add_option("--ticket", o.ticket_file);
  app.add_flag("--relay-only", o.relay_only);
  app.add_option("--key", o.key_file);
  app.add_option("--folder", options.folder);
  app.add_option("--steps", options.steps);
  app.add_option("--microbatches", options.microbatches);
  app.add_option("--compute-ms", options.compute_ms);
  app.add_option("--payload-bytes", options.payload_bytes);
  app.add_option("--in-flight", options.in_flight);
  app.add_option("--rate-mbit", options.rate_mbit);
  app.add_option("--one-way-ms", options.one_way_ms);
  CLI11_PARSE(app, argc, argv);
  if (!o.ticket_file.empty()) o.stages = options.stages;
  try {
    return run(options);
  } catch (const std::exception& error) {
    fmt::print(stderr, "stage {}: {}\n", o.stage, error.what());
    return 1;
  }
}
