// ptrain-stage job: a job as it would be trained, with every key and its hashes.

#include <memory>

#include <CLI/CLI.hpp>

#include "libcommon/base/log.h"
#include "libcommon/cli/exit_code.h"
#include "libcommon/cli/output.h"
#include "libcommon/job/effective_job.h"
#include "libcommon/job/job_file.h"
#include "tools/stage/commands.h"

namespace ptrain::stage {
namespace {

struct JobOptions {
  std::string job_file;
  std::vector<std::string> overrides;
  bool json = false;
};

int show_job(const JobOptions& options) {
  StderrLog log("ptrain-stage");
  job::Remarks remarks;
  const job::Job job = job::load_job(options.job_file, options.overrides, &remarks);
  for (const std::string& remark : remarks) log.info(remark);
  if (options.json) {
    cli::print("{}\n", job::effective_json(job));
  } else {
    cli::print("# job_hash {}\n# resume_hash {}\n\n{}", job::job_hash(job), job::resume_hash(job),
               job::effective_toml(job));
  }
  return cli::kDone;
}

}  // namespace

void add_job(CLI::App& app, Command& command) {
  CLI::App* sub = app.add_subcommand("job", "Print a job with all its keys, and its hashes");
  auto o = std::make_shared<JobOptions>();
  sub->add_option("--job", o->job_file, "Job file, see ptrain-job(5); - is standard input")
      ->required();
  sub->add_option("--set", o->overrides, "Override a key of the job: KEY=VALUE")
      ->expected(1)
      ->take_all();
  sub->add_flag("--json", o->json, "Print a JSON object, in one line");
  sub->footer("Example:\n  ptrain-stage job --job job.toml --set train.steps=200");
  sub->callback([&command, o] { command = [o] { return show_job(*o); }; });
}

}  // namespace ptrain::stage
