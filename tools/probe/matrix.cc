// ptrain-probe matrix: measures the links between all hosts of a run that serve probes.

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/base/log.h"
#include "libcommon/cli/early_end.h"
#include "libcommon/cli/exit_code.h"
#include "libcommon/cli/json_line.h"
#include "libcommon/cli/number_range.h"
#include "libcommon/cli/output.h"
#include "libcommon/cli/progress.h"
#include "libcommon/os/read_file.h"
#include "libcommon/os/stop_signal.h"
#include "libcommon/os/storage.h"
#include "libcommon/probe/matrix_run.h"
#include "libcommon/probe/probing.h"
#include "tools/probe/commands.h"
#include "tools/probe/links_json.h"
#include "tools/probe/matrix_report.h"
#include "tools/probe/options.h"

namespace ptrain::probe_tool {
namespace {

// Of an edge, which is one way: there are many.
constexpr std::uint64_t kEdgeBytes = 3'000'000;
constexpr double kEdgeSeconds = 2;

struct MatrixCommand {
  CommonOptions common;
  std::vector<std::string> names;
  std::string update;  // a links file; empty: none
  double timeout_s = 20;
};

void check_names(const std::vector<std::string>& names) {
  if (names.size() > probe::kMostMatrixHosts) {
    throw Error(ErrorKind::usage, fmt::format("{} hosts, at most {} are measured", names.size(),
                                              probe::kMostMatrixHosts));
  }
  for (const std::string& name : names) {
    if (probe::is_name(name)) continue;
    throw Error(ErrorKind::usage, fmt::format("{}: no name of a server of probes", name),
                "a name is what ptrain-probe serve --name was given there");
  }
}

void announce(const probe::MatrixCost& cost, Log& log) {
  log.info(fmt::format("{} hosts, {} ways: at most {:.0f} MB in all, and about {:.0f} s",
                       cost.hosts, cost.edges, static_cast<double>(cost.bytes) / 1e6,
                       seconds(cost.time)));
}

// Before anything is measured: a file that cannot be read costs nobody anything.
std::optional<std::string> read_update(const MatrixCommand& options) {
  if (options.update.empty() || !std::filesystem::exists(options.update)) return std::nullopt;
  os::PosixStorage storage;
  std::string text = os::read_file(storage, options.update, kMaxLinksBytes);
  probe::LinkMatrix nothing;
  fill_stale(nothing, text, options.update);
  return text;
}

int measure_matrix(const MatrixCommand& options) {
  const os::StopSignal stop("ptrain-probe");
  const SteadyClock clock;
  StderrLog log("ptrain-probe");
  cli::ProgressLine line(clock);
  check_names(options.names);
  auto meeting = meeting_of(options.common);
  if (!meeting) {
    throw Error(ErrorKind::usage, "--ticket is needed: it is how the hosts find each other");
  }
  const auto known = read_update(options);
  probe::MatrixRun run(
      {.meeting = std::move(*meeting),
       .key = net::host_key(options.common.key_file),
       .names = options.names,
       .limits = limits_of(options.common),
       .timeout =
           std::chrono::duration_cast<Duration>(std::chrono::duration<double>(options.timeout_s)),
       .announce = [&](const probe::MatrixCost& cost) { announce(cost, log); },
       .progress = [&](const std::string& what) { line.update("matrix: " + what); },
       .stop = [&] { return stop.requested(); }},
      log, clock);
  auto matrix = run.measure();
  line.clear();
  if (!matrix) throw cli::EarlyEnd{.exit_code = 128 + stop.signal_number()};
  if (known) fill_stale(*matrix, *known, options.update);
  if (options.common.json) {
    cli::print_json_line(to_links_json(*matrix));
  } else {
    cli::print("{}", to_table(*matrix));
  }
  return matrix->failures() < matrix->edges.size() ? cli::kDone : cli::kUnavailable;
}

}  // namespace

void add_matrix(CLI::App& app, Command& command) {
  CLI::App* sub = app.add_subcommand("matrix", "Measure the links between all hosts that serve");
  sub->footer(
      "NAME is one that ptrain-probe serve was given on such a host; without any, all that are\n"
      "found are measured.\n\n"
      "Example:\n"
      "  ptrain-probe matrix --ticket alice.ticket --json >links.json");
  auto o = std::make_shared<MatrixCommand>();
  o->common.max_bytes = kEdgeBytes;
  o->common.max_time_s = kEdgeSeconds;
  sub->add_option("NAME", o->names, "Hosts to measure, and to wait for");
  sub->add_option("--update", o->update,
                  "A links file of before: what fails now is taken from there");
  sub->add_option("--timeout", o->timeout_s, "Seconds for all hosts to appear")
      ->check(cli::number_range(0.1, 3600.0))
      ->capture_default_str();
  add_common_options(*sub, o->common);
  sub->callback([&command, o] { command = [o] { return measure_matrix(*o); }; });
}

}  // namespace ptrain::probe_tool
