// ptrain-ckpt ls: what a folder of checkpoints holds.

#include <chrono>
#include <memory>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "libcommon/ckpt/store.h"
#include "libcommon/cli/exit_code.h"
#include "libcommon/cli/json_line.h"
#include "libcommon/cli/output.h"
#include "libcommon/cli/terminal.h"
#include "libcommon/os/storage.h"
#include "tools/ckpt/commands.h"
#include "tools/ckpt/found_checkpoint.h"
#include "tools/ckpt/options.h"
#include "tools/ckpt/quantity.h"

namespace ptrain::ckpt_tool {
namespace {

using TimePointOfDay = std::chrono::system_clock::time_point;

const char* state_text(ckpt::StepState state) {
  switch (state) {
    case ckpt::StepState::complete:
      return "complete";
    case ckpt::StepState::partial:
      return "partial";
    case ckpt::StepState::corrupt:
      return "corrupt";
  }
  return "";
}

void print_text(const ckpt::StepInfo& info, TimePointOfDay now) {
  cli::print("{:>9}  {:<8}  {:>8}  {:>8}  {}", info.step.value(), state_text(info.state),
             size_text(info.bytes), age_text(now - info.modified),
             info.id ? short_id(*info.id) : std::string(kShownIdDigits, '-'));
  // A reason may hold what others wrote into a file, and a line is a line.
  if (!info.reason.empty()) cli::print("  {}", cli::fit_to_columns(info.reason, std::string::npos));
  cli::print("\n");
}

void print_json(const ckpt::StepInfo& info, TimePointOfDay now) {
  nlohmann::ordered_json line{{"step", info.step.value()},
                              {"state", state_text(info.state)},
                              {"size_bytes", info.bytes.value()},
                              {"age_s", std::chrono::duration<double>(now - info.modified).count()},
                              {"id", nullptr}};
  if (info.manifest) {
    line["id"] = info.id->hex();
    line["weights_sha256"] = to_hex(info.manifest->weights_sha256);
    line["stages"] = info.manifest->stages.size();
    auto& held = line["held"] = nlohmann::ordered_json::array();
    for (const StageIndex stage : info.held) held.push_back(stage.value());
  }
  if (!info.reason.empty()) line["reason"] = info.reason;
  cli::print_json_line(line);
}

int ls(const CommonOptions& options) {
  os::PosixStorage storage;
  const TimePointOfDay now = std::chrono::system_clock::now();
  for (const ckpt::StepInfo& info : open_folder(storage, options.dir).steps) {
    options.json ? print_json(info, now) : print_text(info, now);
  }
  return cli::kDone;
}

}  // namespace

void add_ls(CLI::App& app, Command& command) {
  CLI::App* sub = app.add_subcommand("ls", "List checkpoints: step, state, size, age, id");
  sub->footer("Example:\n  ptrain-ckpt ls --dir run/ckpt");
  auto options = std::make_shared<CommonOptions>();
  add_folder_options(*sub, *options);
  sub->callback([&command, options] { command = [options] { return ls(*options); }; });
}

}  // namespace ptrain::ckpt_tool
