// ptrain-probe compute: how fast this host computes, as ptrain-stage measures it.

#include <cerrno>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <unistd.h>

#include "libcommon/base/error.h"
#include "libcommon/cli/number_range.h"
#include "libcommon/job/job_keys.h"
#include "tools/probe/commands.h"

namespace ptrain::probe_tool {
namespace {

constexpr double kMostSeconds = 3600;
constexpr const char* kStage = "ptrain-stage";

struct ComputeOptions {
  std::string job_file;
  std::vector<std::string> overrides;
  std::vector<std::int64_t> micros;
  std::string host;
  std::string seconds;
  std::string device;
  std::string threads;
  bool json = false;
};

// The one beside this program; where there is none, that of PATH.
std::string stage_program() {
  std::error_code none;
  const auto own = std::filesystem::read_symlink("/proc/self/exe", none);
  const auto beside = own.parent_path() / kStage;
  return !none && ::access(beside.c_str(), X_OK) == 0 ? beside.string() : kStage;
}

// Becomes ptrain-stage, which is the only program with the arithmetic of a model. Returns when it
// cannot.
[[noreturn]] void become(const std::vector<std::string>& words) {
  std::vector<char*> arguments;
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  ::execvp(arguments[0], arguments.data());
  if (errno == ENOENT) {
    throw Error(ErrorKind::unavailable,
                fmt::format("{} is neither beside this program nor on PATH", kStage),
                "it does the measuring: install it here, too");
  }
  throw io_error("start " + words[0], errno);
}

int measure(const ComputeOptions& options) {
  std::vector<std::string> words{stage_program(), "bench", "--job", options.job_file};
  const auto add = [&](const char* option, const std::string& value) {
    if (!value.empty()) words.insert(words.end(), {option, value});
  };
  for (const std::string& each : options.overrides) add("--set", each);
  for (const std::int64_t micro : options.micros) add("--micro", std::to_string(micro));
  add("--host", options.host);
  add("--seconds", options.seconds);
  add("--device", options.device);
  add("--threads", options.threads);
  if (options.json) words.emplace_back("--json");
  become(words);
}

}  // namespace

void add_compute(CLI::App& app, Command& command) {
  CLI::App* sub = app.add_subcommand("compute", "Measure how fast this host computes a job");
  auto o = std::make_shared<ComputeOptions>();
  sub->add_option("--job", o->job_file, "Job file")->required();
  sub->add_option("--set", o->overrides, "Override a key of the job: KEY=VALUE")
      ->expected(1)
      ->take_all();
  sub->add_option("--micro", o->micros, "Another batch.micro to measure with; may be given again")
      ->expected(1)
      ->take_all()
      ->check(cli::whole_range(std::uint64_t{1}, std::uint64_t{job::kMaxBatch}));
  sub->add_option("--host", o->host, "What the links call this host; by default its own name");
  sub->add_option("--seconds", o->seconds, "How long to measure, with each batch.micro")
      ->check(cli::number_range(0.01, kMostSeconds));
  sub->add_option("--device", o->device, "What computes; by default cpu");
  sub->add_option("--threads", o->threads, "Threads that compute; by default as many as may run");
  sub->add_flag("--json", o->json, "Print a line for ptrain-probe plan");
  sub->footer(
      "Example:\n"
      "  ptrain-probe compute --job job.toml --host east --json >>compute.jsonl");
  sub->callback([&command, o] { command = [o] { return measure(*o); }; });
}

}  // namespace ptrain::probe_tool
