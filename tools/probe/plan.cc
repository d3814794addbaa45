// ptrain-probe plan: which hosts hold which part of a job, from what was measured of them.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/base/log.h"
#include "libcommon/cli/early_end.h"
#include "libcommon/cli/exit_code.h"
#include "libcommon/cli/number_range.h"
#include "libcommon/cli/output.h"
#include "libcommon/job/job_file.h"
#include "libcommon/job/job_keys.h"
#include "libcommon/net/wall_time.h"
#include "libcommon/os/read_file.h"
#include "libcommon/os/storage.h"
#include "libcommon/plan/planner.h"
#include "libcommon/plan/running_job.h"
#include "tools/probe/commands.h"
#include "tools/probe/plan_report.h"

namespace ptrain::probe_tool {
namespace {

constexpr double kWeek = 7 * 24 * 3600;
constexpr double kMostAge = 100 * 365.25 * 24 * 3600;

// As wire.forward and wire.backward call them.
const std::map<std::string, job::WireCodec, std::less<>> kCodecs{{"exact", job::WireCodec::exact},
                                                                 {"fp32", job::WireCodec::fp32},
                                                                 {"bf16", job::WireCodec::bf16},
                                                                 {"int8", job::WireCodec::int8}};

struct PlanOptions {
  std::string job_file;
  std::vector<std::string> overrides;
  std::string links_file;
  std::vector<std::string> compute_files;
  std::vector<std::string> metrics_files;
  std::string running_plan_file;
  std::vector<std::int64_t> micros;
  std::vector<std::string> forward;
  std::vector<std::string> backward;
  std::string numerics;
  double max_age_s = kWeek;
  std::optional<double> now_s;
  bool exact = false;
  bool json = false;
};

std::vector<plan::HostCompute> read_computes(os::Storage& storage,
                                             const std::vector<std::string>& files) {
  std::vector<plan::HostCompute> hosts;
  std::set<std::string> names;
  for (const std::string& file : files) {
    const std::string text = os::read_file(storage, file, plan::kMaxComputeFileBytes);
    for (plan::HostCompute& host : plan::read_compute(text, file)) {
      if (!names.insert(host.name).second) {
        throw Error(ErrorKind::corrupt,
                    fmt::format("{}: host {} is in another file as well", host.where, host.name));
      }
      hosts.push_back(std::move(host));
    }
  }
  return hosts;
}

std::vector<job::WireCodec> codecs_of(const std::vector<std::string>& names) {
  std::vector<job::WireCodec> codecs;
  for (const std::string& name : names) codecs.push_back(kCodecs.find(name)->second);
  return codecs;
}

// What --set says of the plan's keys, the plan itself would say otherwise.
std::string hash_of(const PlanOptions& options, const plan::PlanFile& plan) {
  std::vector<std::string> overrides = options.overrides;
  overrides.insert(overrides.end(), plan.set.begin(), plan.set.end());
  return job::job_hash(job::load_job(options.job_file, overrides));
}

// What the stages of the running job say, instead of what was measured before it.
void take_metrics(os::Storage& storage, const PlanOptions& options, double now_s,
                  plan::Links& links, std::vector<plan::HostCompute>& compute) {
  const std::string& file = options.running_plan_file;
  const plan::PlanFile running =
      plan::read_plan(os::read_file(storage, file, plan::kMaxPlanFileBytes), file);
  std::vector<std::string> overrides = options.overrides;
  overrides.insert(overrides.end(), running.set.begin(), running.set.end());
  const job::Job job = job::load_job(options.job_file, overrides);
  plan::check_job(running, job::job_hash(job), file);
  std::vector<plan::RunningStage> stages;
  for (const std::string& metrics : options.metrics_files) {
    stages.push_back(plan::read_running_stage(
        os::read_file(storage, metrics, plan::kMaxMetricsFileBytes), metrics));
  }
  plan::take_running(job, running, stages, now_s, links, compute);
}

[[noreturn]] void refuse(const plan::Planned& planned) {
  std::string text = "no plan is possible with these hosts";
  for (const plan::UnusedHost& each : planned.unused) {
    text += fmt::format("\n  {}: {}", each.host, each.why);
  }
  throw cli::EarlyEnd{.exit_code = cli::kNegative,
                      .text = text,
                      .hint = "train.recompute = \"layer\" and a smaller batch.micro need less"};
}

int make_plan(const PlanOptions& options) {
  StderrLog log("ptrain-probe");
  job::Remarks remarks;
  const job::Job job = job::load_job(options.job_file, options.overrides, &remarks);
  for (const std::string& remark : remarks) log.info(remark);
  os::PosixStorage storage;
  plan::Links links = plan::read_links(
      os::read_file(storage, options.links_file, plan::kMaxLinksFileBytes), options.links_file);
  std::vector<plan::HostCompute> compute = read_computes(storage, options.compute_files);
  const double now_s =
      options.now_s.value_or(static_cast<double>(net::wall_now().time_since_epoch().count()));
  if (!options.metrics_files.empty()) take_metrics(storage, options, now_s, links, compute);
  const plan::PlanInput input{
      .job = job,
      .links = links,
      .compute = compute,
      .other_micros = options.micros,
      .other_forward = codecs_of(options.forward),
      .other_backward = codecs_of(options.backward),
      .numerics = options.numerics,
      .mode = options.exact ? plan::SearchMode::exact : plan::SearchMode::heuristic};
  plan::check_age(input, now_s - options.max_age_s);
  plan::Planned planned = plan::make_plan(input);
  if (!planned.plan) refuse(planned);
  planned.plan->job_hash = hash_of(options, *planned.plan);
  if (options.json) {
    cli::print("{}\n", plan::write_plan(*planned.plan));
  } else {
    cli::print("{}", plan_table(*planned.plan));
  }
  cli::flush_output();
  return cli::kDone;
}

}  // namespace

void add_plan(CLI::App& app, Command& command) {
  CLI::App* sub = app.add_subcommand("plan", "Plan a job: which hosts, and which layers on each");
  sub->footer(
      "Example:\n"
      "  ptrain-probe plan --job job.toml --links links.json --compute compute.jsonl");
  auto o = std::make_shared<PlanOptions>();
  sub->add_option("--job", o->job_file, "Job file")->required();
  sub->add_option("--set", o->overrides, "Override a key of the job: KEY=VALUE")
      ->expected(1)
      ->take_all();
  sub->add_option("--links", o->links_file, "What ptrain-probe matrix has measured")->required();
  sub->add_option("--compute", o->compute_files,
                  "How fast hosts compute, a host a line (ptrain-plan(5)); may be given again")
      ->expected(1)
      ->take_all()
      ->required();
  CLI::Option* metrics =
      sub->add_option("--from-metrics", o->metrics_files,
                      "Metrics of a stage that runs by --plan; once for each stage, in order")
          ->expected(1)
          ->take_all();
  CLI::Option* running =
      sub->add_option("--plan", o->running_plan_file, "The plan that the running job goes by");
  metrics->needs(running);
  running->needs(metrics);
  sub->add_option("--allow-micro", o->micros,
                  "Another batch.micro that the plan may choose; may be given again")
      ->expected(1)
      ->take_all()
      ->check(cli::whole_range(std::uint64_t{1}, std::uint64_t{job::kMaxBatch}));
  const auto add_codecs = [&](const char* name, std::vector<std::string>& codecs,
                              const char* help) {
    sub->add_option(name, codecs, help)->expected(1)->take_all()->check(CLI::IsMember(kCodecs));
  };
  add_codecs("--allow-forward", o->forward,
             "Another wire.forward that the plan may choose; may be given again");
  add_codecs("--allow-backward", o->backward,
             "Another wire.backward that the plan may choose; may be given again");
  sub->add_option("--numerics", o->numerics, "Hosts of this numerics class only");
  sub->add_flag("--exact", o->exact, "Try every choice, of a few hosts and layers");
  sub->add_option("--max-age", o->max_age_s, "Seconds that a measurement may be old")
      ->check(cli::number_range(1.0, kMostAge))
      ->capture_default_str();
  sub->add_option("--now", o->now_s, "Seconds since 1970 that ages count from, instead of now")
      ->check(cli::number_range(0.0, 1e12));
  sub->add_flag("--json", o->json, "Print the plan as ptrain-stage reads it");
  sub->callback([&command, o] { command = [o] { return make_plan(*o); }; });
}

}  // namespace ptrain::probe_tool
