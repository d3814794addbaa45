// ptrain-stage ledger: what the ledgers of a run's peers say together.

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "libcommon/cli/exit_code.h"
#include "libcommon/cli/json_line.h"
#include "libcommon/cli/output.h"
#include "libcommon/metrics/ledger_check.h"
#include "libcommon/os/mapped_file.h"
#include "tools/stage/commands.h"

namespace ptrain::stage {
namespace {

struct LedgerOptions {
  std::vector<std::string> files;
  bool json = false;
};

metrics::Ledger read_ledger(const std::string& path) {
  const os::MappedFile file(path);
  const std::span<const std::byte> bytes = file.bytes();
  return metrics::parse_ledger({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path);
}

double hours(double time_s) { return time_s / 3600; }

void print_findings(const metrics::LedgerFindings& found) {
  for (const std::string& problem : found.problems) cli::print("problem: {}\n", problem);
  if (found.problem_count > found.problems.size()) {
    cli::print("problem: and {} more\n", found.problem_count - found.problems.size());
  }
  for (const std::string& warning : found.warnings) cli::print("warning: {}\n", warning);
  if (found.last) {
    cli::print("steps {} to {}: {} samples{}\n", found.first->value(), found.last->value(),
               found.samples, found.sound() ? ", each used once by every stage" : "");
  }
  if (found.open_steps > 0) {
    cli::print("{} later steps are not told of by all holders\n", found.open_steps);
  }
  if (found.digests > 0) {
    cli::print("{} digests{}\n", found.digests, found.sound() ? ", which agree" : "");
  }
  for (const auto& [peer, by] : found.by_peer) {
    cli::print("{}: {} samples ({} of them replayed), {:.2f} hours, {} bytes sent\n", peer.text(),
               by.samples, by.replayed_samples, hours(by.compute_s), by.tx_bytes);
  }
}

void print_json(const metrics::LedgerFindings& found) {
  nlohmann::ordered_json line{{"sound", found.sound()},
                              {"problems", found.problems},
                              {"problem_count", found.problem_count},
                              {"warnings", found.warnings},
                              {"first_step", nullptr},
                              {"last_step", nullptr},
                              {"open_steps", found.open_steps},
                              {"samples", found.samples},
                              {"digests", found.digests},
                              {"peers", nlohmann::ordered_json::array()}};
  if (found.last) {
    line["first_step"] = found.first->value();
    line["last_step"] = found.last->value();
  }
  for (const auto& [peer, by] : found.by_peer) {
    line["peers"].push_back({{"peer", peer.text()},
                             {"samples", by.samples},
                             {"replayed_samples", by.replayed_samples},
                             {"compute_s", by.compute_s},
                             {"tx_bytes", by.tx_bytes}});
  }
  cli::print_json_line(line);
}

int check_ledger_files(const LedgerOptions& options) {
  std::vector<metrics::Ledger> ledgers;
  for (const std::string& file : options.files) ledgers.push_back(read_ledger(file));
  const metrics::LedgerFindings found = metrics::check_ledgers(ledgers);
  options.json ? print_json(found) : print_findings(found);
  return found.sound() ? cli::kDone : cli::kNegative;
}

}  // namespace

void add_ledger(CLI::App& app, Command& command) {
  CLI::App* sub = app.add_subcommand("ledger", "Check that a run used every sample once");
  auto o = std::make_shared<LedgerOptions>();
  sub->add_option("FILE", o->files, "The ledgers of all peers of a run")->required();
  sub->add_flag("--json", o->json, "Print a JSON object, in one line");
  sub->footer("Example:\n  ptrain-stage ledger a/ledger.jsonl b/ledger.jsonl");
  sub->callback([&command, o] { command = [o] { return check_ledger_files(*o); }; });
}

}  // namespace ptrain::stage
