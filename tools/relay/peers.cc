// ptrain-relay peers, runs, top: who is at a relay, for its operator.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "libcommon/cli/exit_code.h"
#include "libcommon/cli/number_range.h"
#include "libcommon/cli/output.h"
#include "libcommon/cli/terminal.h"
#include "libcommon/net/keys.h"
#include "libcommon/os/stop_signal.h"
#include "tools/relay/commands.h"
#include "tools/relay/local_endpoint.h"
#include "tools/relay/operator_client.h"
#include "tools/relay/peer_table.h"

namespace ptrain::relay {
namespace {

using net::request::Subject;

constexpr std::size_t kDefaultRows = 24;
constexpr auto kStopCheck = std::chrono::milliseconds(100);

struct SurveyOptions {
  std::string state;
  std::string relay;
  bool json = false;
  double interval_s = 2;
};

OperatorClient client_of(const SurveyOptions& options) {
  os::PosixStorage storage;
  const std::filesystem::path state(options.state);
  const net::Endpoint endpoint = options.relay.empty() ? load_local_endpoint(state, storage)
                                                       : net::parse_endpoint(options.relay);
  return OperatorClient(endpoint, net::load_key(state / "key"));
}

void print(const std::vector<std::string>& lines) {
  for (const std::string& line : lines) cli::print("{}\n", line);
}

int list(const SurveyOptions& options, Subject subject) {
  OperatorClient client = client_of(options);
  const std::vector<std::string> lines = client.survey(subject);
  if (options.json) {
    print(lines);
  } else {
    print(subject == Subject::peers ? peer_table(lines) : run_table(lines));
  }
  return cli::kDone;
}

std::size_t terminal_rows() {
  winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row == 0) return kDefaultRows;
  return size.ws_row;
}

// The whole picture in one write, from the top left, what was there before wiped away.
void draw(std::vector<std::string> lines) {
  const std::size_t rows = std::max<std::size_t>(3, terminal_rows()) - 1;
  if (lines.size() > rows) {
    const std::size_t hidden = lines.size() - rows + 1;
    lines.resize(rows - 1);
    lines.push_back(fmt::format("... and {} more", hidden));
  }
  std::string picture = "\x1b[H";
  const std::size_t columns = cli::terminal_columns(STDOUT_FILENO);
  for (const std::string& line : lines) {
    picture += cli::fit_to_columns(line, columns) + "\x1b[K\n";
  }
  picture += "\x1b[J";
  cli::write_output(picture);
  cli::flush_output();
}

int top(const SurveyOptions& options) {
  const os::StopSignal stop("ptrain-relay");
  const bool on_terminal = cli::is_terminal(STDOUT_FILENO) && !options.json;
  OperatorClient client = client_of(options);
  while (true) {
    const std::vector<std::string> peers = client.survey(Subject::peers);
    std::vector<std::string> totals = client.survey(Subject::totals);
    if (options.json) {
      print(peers);
      print(totals);
    } else {
      std::vector<std::string> lines = peer_table(peers);
      std::vector<std::string> head = totals_lines(totals);
      head.emplace_back();
      lines.insert(lines.begin(), head.begin(), head.end());
      if (on_terminal)
        draw(std::move(lines));
      else
        print(lines);
    }
    // Where nobody watches, once is enough.
    if (!on_terminal) return cli::kDone;
    const auto next =
        std::chrono::steady_clock::now() + std::chrono::duration<double>(options.interval_s);
    while (std::chrono::steady_clock::now() < next) {
      if (stop.requested()) return 128 + stop.signal_number();
      std::this_thread::sleep_for(kStopCheck);
    }
  }
}

std::shared_ptr<SurveyOptions> add_survey_options(CLI::App& sub) {
  auto o = std::make_shared<SurveyOptions>();
  sub.add_option("--state", o->state, "The relay's folder, for its key")->required();
  sub.add_option("--relay", o->relay, "The relay's endpoint, if it is not on this host");
  sub.add_flag("--json", o->json, "Print JSON");
  return o;
}

}  // namespace

void add_peers(CLI::App& app, Command& command) {
  CLI::App* sub = app.add_subcommand("peers", "List who is registered at a relay");
  sub->footer("Example:\n  ptrain-relay peers --state relay");
  auto o = add_survey_options(*sub);
  sub->callback([&command, o] { command = [o] { return list(*o, Subject::peers); }; });
}

void add_runs(CLI::App& app, Command& command) {
  CLI::App* sub = app.add_subcommand("runs", "List the runs at a relay");
  sub->footer("Example:\n  ptrain-relay runs --state relay --json");
  auto o = add_survey_options(*sub);
  sub->callback([&command, o] { command = [o] { return list(*o, Subject::runs); }; });
}

void add_top(CLI::App& app, Command& command) {
  CLI::App* sub = app.add_subcommand("top", "Watch who is at a relay, on a terminal");
  sub->footer("Example:\n  ptrain-relay top --state relay --interval 5");
  auto o = add_survey_options(*sub);
  sub->add_option("--interval", o->interval_s, "Seconds between two pictures")
      ->check(cli::number_range(0.2, 3600.0))
      ->capture_default_str();
  sub->callback([&command, o] { command = [o] { return top(*o); }; });
}

}  // namespace ptrain::relay
