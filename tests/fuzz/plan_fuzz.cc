// Any text as a links file ('l'), a compute file ('c'), a stage's metrics ('m') or a plan ('p'),
// which the first byte chooses: values that are written and read again as they were, and of which a
// small job is planned, or an Error of kind corrupt; nothing else.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "libcommon/base/error.h"
#include "libcommon/plan/link_table.h"
#include "libcommon/plan/planner.h"
#include "libcommon/plan/running_job.h"
#include "tests/unit/plan/sample_files.h"

namespace {

using namespace ptrain;

constexpr std::size_t kPlannedHosts = 4;  // more take a fuzzer's time

// What the planner writes, it reads: an Error here ends the program.
void check_written(plan::PlanFile file) noexcept {
  file.job_hash = std::string(64, '0');
  if (plan::read_plan(plan::write_plan(file), "planned").view != file.view) std::abort();
}

void check_plan_of(const plan::Links& links, const std::vector<plan::HostCompute>& compute) {
  const job::Job job = plan::sample_job(3);
  const plan::Planned planned = plan::make_plan({.job = job, .links = links, .compute = compute});
  if (planned.plan) check_written(*planned.plan);
}

void check_links(std::string_view text) {
  const plan::Links links = plan::read_links(text, "fuzz");
  const std::string written = plan::write_links(links);
  if (plan::write_links(plan::read_links(written, "again")) != written) std::abort();
  const plan::LinkTable table(links);
  if (links.hosts.size() > kPlannedHosts) return;
  std::string compute;
  for (const plan::LinkedHost& host : links.hosts) {
    compute += plan::compute_line(host.name, plan::sample_job(3), 0.01);
  }
  check_plan_of(links, plan::read_compute(compute, "compute"));
}

void check_compute(std::string_view text) {
  const std::vector<plan::HostCompute> hosts = plan::read_compute(text, "fuzz");
  std::string written;
  plan::Links links{.time_s = 1};
  for (const plan::HostCompute& host : hosts) {
    written += plan::write_compute(host) + "\n";
    links.hosts.push_back({.name = host.name, .site = host.name, .out_bytes_per_s = 1e7});
  }
  std::string again;
  for (const plan::HostCompute& host : plan::read_compute(written, "again")) {
    again += plan::write_compute(host) + "\n";
  }
  if (again != written) std::abort();
  links.hosts.front().in_bytes_per_s = 1e7;
  if (hosts.size() <= kPlannedHosts) check_plan_of(links, hosts);
}

// A job that runs on two hosts.
void check_metrics(std::string_view text) {
  const plan::RunningStage stage = plan::read_running_stage(text, "fuzz");
  job::Job job = plan::sample_job(4);
  job.pipeline.layers = {2, 2};
  std::string lines = plan::compute_line("a", job, 0.01) + plan::compute_line("b", job, 0.02);
  std::vector<plan::HostCompute> compute = plan::read_compute(lines, "compute");
  plan::Links links{.time_s = 1, .hosts = {{.name = "a", .site = "a", .out_bytes_per_s = 1e7}}};
  links.hosts.push_back({.name = "b", .site = "b", .in_bytes_per_s = 1e7});
  plan::PlanFile running;
  running.view = {{StageIndex(0), 0, "a"}, {StageIndex(1), 0, "b"}};
  plan::take_running(job, running, {stage, plan::RunningStage{.compute_s = 1}}, 2, links, compute);
  const plan::Planned planned = plan::make_plan({.job = job, .links = links, .compute = compute});
  if (planned.plan) check_written(*planned.plan);
}

void check_plan(std::string_view text) {
  const plan::PlanFile file = plan::read_plan(text, "fuzz");
  const std::string written = plan::write_plan(file);
  if (plan::write_plan(plan::read_plan(written, "again")) != written) std::abort();
  if (file.stages() == 0 || file.stages_of(file.view.front().host).empty()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  try {
    switch (data[0]) {
      case 'l':
        check_links(text);
        break;
      case 'c':
        check_compute(text);
        break;
      case 'm':
        check_metrics(text);
        break;
      default:
        check_plan(text);
    }
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::corrupt) std::abort();
  }
  return 0;
}
