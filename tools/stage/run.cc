#include "tools/stage/run.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/base/log.h"
#include "libcommon/cli/exit_code.h"
#include "libcommon/job/job_file.h"
#include "libcommon/job/partition.h"
#include "libcommon/net/mesh.h"
#include "libcommon/os/stop_signal.h"
#include "libcommon/wire/frame.h"
#include "tools/stage/commands.h"
#include "tools/stage/engine/run_report.h"
#include "tools/stage/engine/shard_source.h"
#include "tools/stage/engine/trainer.h"
#include "tools/stage/stage_mesh.h"

namespace ptrain::stage {
namespace {

// How long a stage that is done waits for the others to have its last messages.
constexpr Duration kGoodbye = std::chrono::seconds(10);
constexpr Duration kGoodbyeWhenStopped = std::chrono::seconds(1);

// Where --from says that checkpoints can be had.
transfer::FetchOptions fetch_options(const RunOptions& options, const job::Job& job,
                                     const job::StageSpan& span, Mailbox& mailbox) {
  transfer::FetchOptions fetch;
  for (const std::string& text : options.from) {
    fetch.holders.endpoints.push_back(net::parse_endpoint(text));
    if (fetch.holders.endpoints.back().key) fetch.holders.key = host_key(options);
  }
  fetch.directory = job.checkpoint.dir;
  fetch.share = span;
  fetch.writer = fmt::format("fetch-{:02}", mailbox.self().value());
  fetch.stop = [&mailbox] { return mailbox.stop_requested(); };
  return fetch;
}

// Everything between the handshake and the last message of a run.
TrainingOutcome train(const RunOptions& options, const job::Job& job, const job::StageSpan& span,
                      const DataFeed* feed, at::Device device, Mailbox& mailbox, Log& log,
                      const Clock& clock) {
  StageModel model(job.model, span,
                   {.precision = job.precision,
                    .recompute = job.train.recompute,
                    .device = device,
                    .micro_batch = job.batch.micro,
                    .seq_len = job.data.seq_len,
                    .loss_scale = 1.0 / static_cast<double>(job.batch.global * job.data.seq_len)});
  AdamW optimiser(job.optim, model.parameters());
  Boundary boundary(mailbox, job, device);
  os::PosixStorage storage;
  Checkpointer checkpointer(job, span, mailbox, model, optimiser, storage, log, clock);

  ShardSource source(fetch_options(options, job, span, mailbox), storage, log, clock);
  if (!options.from.empty()) checkpointer.mend_from(source);
  const wire::ResumeChoice begin = checkpointer.resume(parse_resume_mode(options.resume), feed);
  if (begin.checkpoint.id.empty()) model.initialise(job.train.seed);

  RunReport report({.job = job,
                    .driver = mailbox.is_driver(),
                    .metrics_file = options.metrics_file,
                    .progress = options.progress,
                    .begin = begin.checkpoint.step,
                    .mailbox = mailbox},
                   clock);
  Trainer trainer({.job = job,
                   .model = model,
                   .optimiser = optimiser,
                   .mailbox = mailbox,
                   .boundary = boundary,
                   .checkpointer = checkpointer,
                   .feed = feed,
                   .observer = report.observer(),
                   .clock = clock});
  try {
    TrainingOutcome outcome = trainer.run(begin);
    report.done(outcome, checkpointer.directory(outcome.step), options.json);
    return outcome;
  } catch (const Abandoned& abandoned) {
    // A save that the disk does not finish in time must not hold us, and the checkpointer would
    // wait for it: without its manifest nothing of it exists.
    mailbox.fail(abandoned.what());
    log.warning(abandoned.what());
    std::_Exit(128 + mailbox.stop_signal());
  } catch (const std::exception& error) {
    mailbox.fail(error.what());  // before a save under way is waited for
    throw;
  }
}

}  // namespace

int run(const RunOptions& options) {
  const os::StopSignal stop("ptrain-stage");
  const SteadyClock clock;
  StderrLog log("ptrain-stage");

  const at::Device device = prepare_compute(options.compute);
  const job::Job job = job::load_job(options.job_file, options.overrides);
  const std::uint32_t stages = count_stages(options);
  const job::StageSpan span = job::partition(job, stages)[options.stage];

  std::unique_ptr<DataFeed> feed;
  if (span.embedding || span.head) feed = std::make_unique<DataFeed>(job, device);

  std::unique_ptr<net::Mesh> mesh;
  if (stages > 1) {
    mesh = open_mesh(options, stages, job, feed ? feed->fingerprint() : "", log, clock);
    mesh->await_peers([&] { return stop.requested(); });
    if (stop.requested()) return 128 + stop.signal_number();
  }
  Mailbox mailbox(mesh.get(), StageIndex(options.stage), stages, stop, clock);
  try {
    const TrainingOutcome outcome =
        train(options, job, span, feed.get(), device, mailbox, log, clock);
    if (mesh) mesh->close(stop.requested() ? kGoodbyeWhenStopped : kGoodbye);
    if (!outcome.stopped) return cli::kDone;
    if (stop.requested()) return 128 + stop.signal_number();
    log.info(fmt::format("stopped after step {}, because another stage was told to stop",
                         outcome.step.value()));
    return cli::kTryAgain;
  } catch (const Error& error) {
    mailbox.fail(error.what());
    // Told to stop, the stages leave one after the other: a lost neighbour is no failure then.
    const bool expected =
        error.kind() == ErrorKind::unavailable || error.kind() == ErrorKind::try_again;
    if (!stop.requested() || !expected) throw;
    log.info(error.what());
    return 128 + stop.signal_number();
  }
}

void add_run(CLI::App& app, Command& command) {
  CLI::App* sub = app.add_subcommand("run", "Train one stage of a job");
  auto o = std::make_shared<RunOptions>();
  sub->add_option("--job", o->job_file, "Job file, see ptrain-job(5)")->required();
  sub->add_option("--set", o->overrides, "Override a key of the job: KEY=VALUE")
      ->expected(1)
      ->take_all();
  sub->add_option("--stage", o->stage, "Which stage this is, from 0")->capture_default_str();
  sub->add_option("--listen", o->listen, "Endpoint to listen at");
  auto* file = sub->add_option("--endpoints", o->endpoints_file,
                               "File with the endpoints of all stages, a line each");
  auto* peer = sub->add_option("--peer", o->peers, "Endpoint of another stage: I=ENDPOINT")
                   ->expected(1)
                   ->take_all()
                   ->excludes(file);
  sub->add_option("--ticket", o->ticket_file,
                  "Meet the other stages through the relays of this ticket")
      ->excludes(file)
      ->excludes(peer);
  sub->add_option("--stages", o->stages, "How many stages the job has; with --ticket")
      ->check(CLI::Range(std::uint32_t{1}, ckpt::kMaxStages));
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
      ->check(CLI::Range(std::uint32_t{1}, std::uint32_t{wire::kMaxStrands}))
      ->capture_default_str();
  sub->add_option("--key", o->key_file, "This host's key file (default: ~/.config/ptrain/key)");
  sub->add_option("--resume", o->resume, "auto, none, or a checkpoint's id or step")
      ->capture_default_str();
  sub->add_option("--from", o->from, "Endpoint of a holder of checkpoints; may be given again")
      ->expected(1)
      ->take_all();
  sub->add_option("--metrics", o->metrics_file, "JSON Lines file of metrics; - is stdout");
  sub->add_option("--progress", o->progress, "Progress line: auto, always or never")
      ->check(CLI::IsMember({"auto", "always", "never"}))
      ->capture_default_str();
  sub->add_option("--peer-timeout", o->peer_timeout_s, "Seconds to wait for the other stages")
      ->check(CLI::Range(0.1, 86400.0))
      ->capture_default_str();
  sub->add_option("--reconnect-timeout", o->reconnect_timeout_s,
                  "Seconds after which a stage to which no path leads is lost (5; with "
                  "--ticket 120)")
      ->check(CLI::Range(0.1, 86400.0));
  sub->add_option("--outage-timeout", o->outage_timeout_s,
                  "The same, where its link had fallen silent before")
      ->check(CLI::Range(0.1, 86400.0))
      ->capture_default_str();
  sub->add_flag("--json", o->json, "Print the final record as JSON");
  add_compute_options(*sub, o->compute);
  sub->callback([&command, o] { command = [o] { return run(*o); }; });
}

}  // namespace ptrain::stage
