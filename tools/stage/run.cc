#include "tools/stage/run.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/base/log.h"
#include "libcommon/base/rate_limit.h"
#include "libcommon/ckpt/checkpoint_name.h"
#include "libcommon/ckpt/stage_lock.h"
#include "libcommon/cli/exit_code.h"
#include "libcommon/cli/number_range.h"
#include "libcommon/cli/output.h"
#include "libcommon/job/job_difference.h"
#include "libcommon/job/job_file.h"
#include "libcommon/job/job_keys.h"
#include "libcommon/job/lanes.h"
#include "libcommon/job/partition.h"
#include "libcommon/job/useful_threads.h"
#include "libcommon/metrics/jsonl.h"
#include "libcommon/metrics/process_memory.h"
#include "libcommon/net/mesh.h"
#include "libcommon/os/free_space.h"
#include "libcommon/os/memory_error.h"
#include "libcommon/os/stop_signal.h"
#include "libcommon/pipeline/automatic_depth.h"
#include "libcommon/wire/frame.h"
#include "tools/stage/allocation_failure.h"
#include "tools/stage/cell/model_cell.h"
#include "tools/stage/cell/numerics_class.h"
#include "tools/stage/commands.h"
#include "tools/stage/engine/engine.h"
#include "tools/stage/engine/engine_loop.h"
#include "tools/stage/engine/memory_need.h"
#include "tools/stage/engine/mesh_post.h"
#include "tools/stage/engine/resumption.h"
#include "tools/stage/engine/run_outline.h"
#include "tools/stage/engine/run_report.h"
#include "tools/stage/engine/shard_source.h"
#include "tools/stage/engine/wait_report.h"
#include "tools/stage/engine/what_is_lost.h"
#include "tools/stage/model/bfloat16_products.h"
#include "tools/stage/planned_run.h"
#include "tools/stage/stage_mesh.h"

namespace ptrain::stage {
namespace {

// How long a stage that is done waits for the others to have its last messages.
constexpr Duration kGoodbye = std::chrono::seconds(10);
constexpr Duration kGoodbyeWhenStopped = std::chrono::seconds(1);

// Where --from says that checkpoints can be had.
transfer::FetchOptions fetch_options(const RunOptions& options, const job::Job& job,
                                     const job::StageSpan& span, StageIndex stage,
                                     const os::StopSignal& stop) {
  transfer::FetchOptions fetch;
  for (const std::string& text : options.from) {
    fetch.holders.endpoints.push_back(net::parse_endpoint(text));
    if (fetch.holders.endpoints.back().key) fetch.holders.key = net::host_key(options.key_file);
  }
  fetch.directory = job.checkpoint.dir;
  fetch.share = span;
  fetch.writer = fmt::format("fetch-{:02}", stage.value());
  fetch.stop = [&stop] { return stop.requested(); };
  return fetch;
}

// Of the first step; the driver may ask for more microbatches at once later.
metrics::MemoryRecord what_it_needs(ModelCell& cell, const job::Job& job, const Place& place,
                                    std::uint32_t in_flight, const wire::ResumeChoice& begin) {
  metrics::MemoryRecord need =
      memory_need(cell.parameters(), job.precision, place.cells().size(), place.leads(),
                  cell.model().activation_bytes(in_flight), job.optim.ema > 0);
  need.step = begin.checkpoint.step.value();
  return need;
}

std::vector<LaneIndex> lanes_of(const Place& place) {
  std::vector<LaneIndex> lanes;
  for (const job::CellIndex& cell : place.cells()) lanes.push_back(cell.lane);
  return lanes;
}

// Microbatches that all our lanes together hold at once, at first.
std::uint32_t depth_of(const Place& place, const job::Job& job, std::uint32_t in_flight) {
  std::size_t depth = 0;
  for (const job::CellIndex& cell : place.cells()) {
    const auto share = job::share_of_lane(static_cast<std::uint32_t>(job.batch.microbatches()),
                                          place.lanes(), cell.lane);
    depth += pipeline::peak_in_flight(pipeline::schedule(job.pipeline.schedule, place.stages(),
                                                         place.stage(), share.count, in_flight));
  }
  return static_cast<std::uint32_t>(depth);
}

// Microbatches that the stage may hold: those that it needs, and as many more as fit in their part
// of the memory that is left. 0: not known.
std::uint32_t most_in_flight(const ModelCell& cell, const metrics::MemoryRecord& need,
                             std::uint32_t needed) {
  const auto available = os::available_memory();
  if (!available) return 0;
  const std::uint64_t left = need.needed_bytes - std::min(metrics::rss_bytes(), need.needed_bytes);
  const std::uint64_t spare =
      available->value() > left ? (available->value() - left) / pipeline::kMemoryPartsForDepth : 0;
  const std::uint64_t each = cell.model().activation_bytes(needed + 1).value() -
                             cell.model().activation_bytes(needed).value();
  const std::uint64_t more = each == 0 ? 0 : spare / each;
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(needed + more, job::kMaxInFlight));
}

// Asked before the first step, because the kernel takes a process away that uses what it was only
// promised: at the first checkpoint, say, with all that was learnt until then. What we hold already
// is a part of it.
void require_room(const metrics::MemoryRecord& need) {
  const std::uint64_t held = std::min(metrics::rss_bytes(), need.needed_bytes);
  os::require_memory("parameters, moments, activations and what a checkpoint copies",
                     ByteCount(need.needed_bytes - held),
                     "use a smaller batch.micro or data.seq_len, train.recompute = \"layer\", or "
                     "more stages on more hosts");
}

// A run that could never save would lose all that it learns, and say so at its end.
void require_disk(const metrics::MemoryRecord& need, const std::string& directory) {
  os::require_space("this stage's share of a checkpoint", directory, ByteCount(need.snapshot_bytes),
                    "make room there, or set another checkpoint.dir");
}

void say_what_changed(const std::string& saved, const job::Job& job, Log& log) {
  const auto changed = job::run_differences(job, saved);
  if (!changed.empty()) log.info("changed since that checkpoint: " + job::changes(changed));
}

std::optional<std::uint64_t> windows_of(const JobData* data) {
  if (data == nullptr) return std::nullopt;
  return data->training().window_count();
}

struct Trained {
  TrainingOutcome outcome;
  std::string result;  // for stdout
};

// What a run is made of, once its stages have met.
struct Parts {
  const RunOptions& options;
  const job::Job& job;
  const job::StageSpan& span;
  const plan::PlanFile* plan;  // null where there is none
  const JobData* data;         // null where the stage has none
  at::Device device;
  Post& post;
  WaitReport& waits;
  const os::StopSignal& stop;
  metrics::JsonlWriter* metrics;  // may be none
  Log& log;
  const Clock& clock;
};

// A save that the disk does not finish in time must not hold us, and its end would be waited for:
// without its record nothing of it exists.
[[noreturn]] void leave(const Abandoned& abandoned, const Engine& engine,
                        const Checkpointer& checkpointer, const Parts& parts) {
  parts.post.fail(abandoned.what());
  parts.log.warning(abandoned.what());
  parts.log.info(what_is_lost(checkpointer.left_behind(engine.step())));
  std::_Exit(128 + parts.stop.signal_number());
}

// Another stage is lost, or only the way to it: then it keeps its share too, and nothing is lost.
[[noreturn]] void part_from_others(const Error& loss, const Engine& engine,
                                   Checkpointer& checkpointer, const EngineLoop& loop,
                                   const Parts& parts) {
  std::optional<TimePoint> since = loop.stop_seen();
  const auto check = [&] {
    if (!parts.stop.requested()) return;
    if (!since) since = parts.clock.now();
    if (parts.clock.now() - *since <= kFinishCheckpointWithin) return;
    throw Abandoned(fmt::format("told to stop, and the checkpoint did not end within {} s",
                                seconds(kFinishCheckpointWithin)));
  };
  try {
    checkpointer.keep_share(engine.step(), check);
  } catch (const Abandoned& abandoned) {
    leave(abandoned, engine, checkpointer, parts);
  }
  throw Error(loss.kind(), loss.what(), what_is_lost(checkpointer.left_behind(engine.step())));
}

// Everything between the handshake and the last message of a run.
Trained train(const Parts& parts) {
  const auto& [options, job, span, plan, data, device, post, waits, stop, metrics, log, clock] =
      parts;
  const auto microbatches = static_cast<std::uint32_t>(job.batch.microbatches());
  const Place& place = post.place();
  ModelCell cell(job, span, lanes_of(place), data, device);
  Inbox inbox(place, microbatches);
  WaitMeter meter;
  const auto stop_requested = [&parts] { return parts.stop.requested(); };
  EngineLoop loop(post, inbox, meter, stop_requested, clock);
  loop.report_waits_to(waits);
  os::PosixStorage storage(&log);
  Checkpointer checkpointer(job, span, post, inbox, cell, storage, log, clock);

  ShardSource source(fetch_options(options, job, span, place.stage(), stop), storage, log, clock);
  if (!options.from.empty()) checkpointer.mend_from(source);
  if (metrics != nullptr) {
    checkpointer.evaluated_where(
        [&parts](Step step) { return parts.metrics->has_evaluation(step.value()); });
  }
  Resumption resumption(
      checkpointer,
      parse_resume_mode(ckpt::name_within(storage, options.resume, job.checkpoint.dir)), data);
  loop.run(resumption);
  const wire::ResumeChoice& begin = resumption.choice();
  log.info(beginning_text(begin, job));
  say_what_changed(checkpointer.resumed_job(), job, log);

  RunReport report({.job = job,
                    .driver = place.is_driver(),
                    .metrics = metrics,
                    .progress = options.progress,
                    .begin = begin.checkpoint.step,
                    .post = post,
                    .waits = meter,
                    .checkpointer = checkpointer,
                    .log = log},
                   clock);
  const auto lanes = static_cast<std::uint32_t>(place.cells().size());
  const std::uint32_t depth = depth_of(place, job, begin.in_flight);
  metrics::MemoryRecord need = what_it_needs(cell, job, place, depth, begin);
  for (const std::string& line : outline({.job = job,
                                 .place = place,
                                 .span = span,
                                 .begin = begin.checkpoint.step,
                                 .in_flight = begin.in_flight,
                                 .memory = need,
                                 .windows = windows_of(data)})) {
    log.info(line);
  }
  if (device.is_cpu()) require_room(need);
  need.numerics_class = numerics_class(job, device);
  if (metrics != nullptr) metrics->write(need);
  if (begin.checkpoint.step.value() < job.train.steps && place.leads()) {
    require_disk(need, job.checkpoint.dir);
  }
  Engine engine({.job = job,
                 .cell = cell,
                 .post = post,
                 .inbox = inbox,
                 .checkpointer = checkpointer,
                 .waits = meter,
                 .most_in_flight = device.is_cpu() ? most_in_flight(cell, need, depth) / lanes : 0,
                 .numerics_class = need.numerics_class,
                 .stop_requested = stop_requested,
                 .observer = report.observer(),
                 .clock = clock},
                begin);
  try {
    with_memory_errors([&] { loop.run(engine); });
    TrainingOutcome outcome = engine.outcome();
    std::string result = report.done(outcome, options.json);
    if (!outcome.bottleneck.empty()) log.info(outcome.bottleneck);
    if (plan != nullptr && place.is_driver()) {
      const std::string came = what_came_of(*plan, outcome, job);
      if (!came.empty()) log.info(came);
    }
    return {.outcome = std::move(outcome), .result = std::move(result)};
  } catch (const Abandoned& abandoned) {
    leave(abandoned, engine, checkpointer, parts);
  } catch (const Error& error) {
    post.fail(error.what());  // before a save under way is waited for
    if (error.kind() != ErrorKind::unavailable) throw;
    part_from_others(error, engine, checkpointer, loop, parts);
  } catch (const std::exception& error) {
    post.fail(error.what());
    throw;
  }
}

void await_stages(net::Mesh& mesh, const RunOptions& options, const os::StopSignal& stop,
                  WaitReport& waits, const Clock& clock) {
  const TimePoint since = clock.now();
  const TimePoint ends = since + std::chrono::duration_cast<Duration>(
                                     std::chrono::duration<double>(options.peer_timeout_s));
  mesh.await_peers([&] {
    if (const std::string who = mesh.missing(); !who.empty()) waits.absent(who, since, ends);
    return stop.requested();
  });
  waits.over(since);
}

}  // namespace

int run(const RunOptions& given) {
  const os::StopSignal stop("ptrain-stage");
  const SteadyClock clock;
  StderrLog log("ptrain-stage");

  const std::optional<plan::PlanFile> plan = read_plan(given);
  const RunOptions options = plan ? as_planned(given, *plan) : given;
  job::Remarks remarks;
  const job::Job job = job::load_job(options.job_file, options.overrides, &remarks);
  if (plan) plan::check_job(*plan, job::job_hash(job), options.plan_file);
  const Membership member = membership(options, job);
  const Place& place = member.place;
  const job::StageSpan span = job::partition(job, place.stages())[place.stage().value()];
  const auto [device, words] = prepare_compute(options.compute, job::useful_threads(job, span));
  log.info(words);
  for (const std::string& remark : remarks) log.info(remark);
  if (device.is_cpu() && job.precision == job::ComputePrecision::bfloat16) {
    log.info(describe(bfloat16_products()));
  }

  std::unique_ptr<JobData> data;
  if (span.embedding || span.head) data = std::make_unique<JobData>(job);

  WaitReport waits(options.progress == "never" ? Drawing::never : Drawing::on_terminals, log,
                   clock);
  std::unique_ptr<net::Mesh> mesh;
  if (place.workers() > 1) {
    mesh = open_mesh(options, member, job, data.get(), log, clock);
    await_stages(*mesh, options, stop, waits, clock);
    if (stop.requested()) return 128 + stop.signal_number();
  }
  MeshPost post(mesh.get(), place, send_ahead(job));
  std::string result;
  try {
    // Places that cannot be written are found now, not after the last step. The handshake came
    // first: it knows more of stages that do not belong together, and the others hear of this.
    std::optional<ckpt::StageLock> lock;
    if (place.leads()) {
      lock.emplace(job.checkpoint.dir, place.stage(),
                   ckpt::RunIdentity{.stages = place.stages(), .job_hash = job::job_hash(job)},
                   log);
    }
    std::optional<metrics::JsonlWriter> metrics;
    if (!options.metrics_file.empty()) metrics.emplace(options.metrics_file, log);

    const Trained trained = with_memory_errors([&] {
      return train({options, job, span, plan ? &*plan : nullptr, data.get(), device, post, waits,
                    stop, metrics ? &*metrics : nullptr, log, clock});
    });
    if (mesh) mesh->close(stop.requested() ? kGoodbyeWhenStopped : kGoodbye);
    if (trained.outcome.stopped) {
      if (stop.requested()) return 128 + stop.signal_number();
      log.info(fmt::format("stopped after step {}, because another process was told to stop",
                           trained.outcome.step.value()));
      return cli::kTryAgain;
    }
    result = trained.result;
    if (place.leads()) {
      os::PosixStorage storage;
      const std::string share = ckpt::words_on_share(storage, job.checkpoint.dir,
                                                     trained.outcome.step, options.ticket_file);
      if (!share.empty()) log.info(share);
    }
  } catch (const Error& error) {
    post.fail(error.what());
    // Told to stop, the stages leave one after the other: a lost neighbour is no failure then.
    const bool expected =
        error.kind() == ErrorKind::unavailable || error.kind() == ErrorKind::try_again;
    if (!stop.requested() || !expected) throw;
    log.info(error.what());
    if (!error.hint().empty()) log.info(error.hint());
    return 128 + stop.signal_number();
  }
  cli::write_output(result);  // all is saved: whether it can be written is no other stage's affair
  return cli::kDone;
}

void add_run(CLI::App& app, Command& command) {
  CLI::App* sub = app.add_subcommand("run", "Train one stage of a job");
  sub->footer(
      "Example:\n"
      "  ptrain-stage run --job job.toml --set train.steps=100 --metrics metrics.jsonl\n"
      "  ptrain-stage run --job job.toml --ticket alice.ticket --stages 3 --stage 0");
  auto o = std::make_shared<RunOptions>();
  sub->add_option("--job", o->job_file, "Job file, see ptrain-job(5)")->required();
  sub->add_option("--set", o->overrides, "Override a key of the job: KEY=VALUE")
      ->expected(1)
      ->take_all();
  auto* plan = sub->add_option("--plan", o->plan_file, "What ptrain-probe plan --json has planned");
  auto* host = sub->add_option("--host", o->host, "With --plan: what it calls this host");
  auto* stage = sub->add_option("--stage", o->stage, "Which stage this is, from 0")
                    ->check(cli::whole_range(std::uint32_t{0}, ckpt::kMaxStages - 1))
                    ->capture_default_str();
  sub->add_option("--cell", o->cells,
                  "Instead: a cell that this process holds, STAGE,LANE; may be given again")
      ->expected(1)
      ->take_all()
      ->excludes(stage)
      ->excludes(host);
  host->needs(plan)->excludes(stage);
  sub->add_option("--listen", o->listen, "Endpoint to listen at");
  auto* file = sub->add_option("--endpoints", o->endpoints_file,
                               "File with the endpoints of all stages, a line each; or of all "
                               "processes, each after its cells");
  auto* peer = sub->add_option("--peer", o->peers, "Endpoint of another stage: I=ENDPOINT")
                   ->expected(1)
                   ->take_all()
                   ->excludes(file);
  sub->add_option("--ticket", o->ticket_file,
                  "Meet the other stages through the relays of this ticket")
      ->excludes(file)
      ->excludes(peer);
  sub->add_option("--stages", o->stages, "How many stages the job has; with --ticket")
      ->check(cli::whole_range(std::uint32_t{1}, ckpt::kMaxStages));
  sub->add_option("--cells", o->cells_file,
                  "With --ticket: file with the cells of each process, a line each");
  sub->add_option("--announce", o->announced,
                  "With --ticket: endpoint where others can dial this stage; may be given again")
      ->expected(1)
      ->take_all();
  auto* direct = sub->add_flag("--direct-only", o->direct_only,
                               "With --ticket: relays introduce the stages and carry nothing");
  sub->add_flag("--relay-only", o->relay_only, "With --ticket: all paths go through relays")
      ->excludes(direct);
  sub->add_option("--connections", o->connections,
                  "Connections for tensors to each stage that this one dials")
      ->check(cli::whole_range(std::uint32_t{1}, std::uint32_t{wire::kMaxConnections}))
      ->capture_default_str();
  sub->add_option("--key", o->key_file, "This host's key file (default: ~/.config/ptrain/key)");
  sub->add_option("--resume", o->resume, "auto, none, or a checkpoint of checkpoint.dir")
      ->capture_default_str();
  sub->add_option("--from", o->from, "Endpoint of a holder of checkpoints; may be given again")
      ->expected(1)
      ->take_all();
  sub->add_option("--metrics", o->metrics_file, "JSON Lines file of metrics; - is stdout");
  sub->add_option("--progress", o->progress, "Progress line: auto, always or never")
      ->check(CLI::IsMember({"auto", "always", "never"}))
      ->capture_default_str();
  sub->add_option("--up-rate", o->up_rate_bytes_per_s,
                  "Bytes a second that this stage sends at most, as in 5MB")
      ->transform(CLI::AsSizeValue(true))
      ->check(cli::whole_range(kMinRateBytesPerS, std::uint64_t{1} << 50));
  sub->add_option("--peer-timeout", o->peer_timeout_s, "Seconds to wait for the other stages")
      ->check(cli::number_range(0.1, 86400.0))
      ->capture_default_str();
  sub->add_option("--reconnect-timeout", o->reconnect_timeout_s,
                  "Seconds after which a stage to which no path leads is lost (0.8; with "
                  "--ticket 120)")
      ->check(cli::number_range(0.1, 86400.0));
  sub->add_option("--outage-timeout", o->outage_timeout_s,
                  "The same, where its link had fallen silent before")
      ->check(cli::number_range(0.1, 86400.0))
      ->capture_default_str();
  sub->add_flag("--json", o->json, "Print the final record as JSON");
  add_compute_options(*sub, o->compute);
  sub->callback([&command, o] { command = [o] { return run(*o); }; });
}

}  // namespace ptrain::stage
