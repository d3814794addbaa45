// ptrain-ckpt verify: is a checkpoint whole, and if not, where is it damaged?

#include "libcommon/ckpt/verify.h"

#include <algorithm>
#include <memory>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "libcommon/base/log.h"
#include "libcommon/cli/exit_code.h"
#include "libcommon/cli/json_line.h"
#include "libcommon/cli/output.h"
#include "libcommon/cli/terminal.h"
#include "tools/ckpt/byte_work.h"
#include "tools/ckpt/commands.h"
#include "tools/ckpt/found_checkpoint.h"
#include "tools/ckpt/options.h"
#include "tools/ckpt/quantity.h"

namespace ptrain::ckpt_tool {
namespace {

struct VerifyCommandOptions {
  CommonOptions common;
  std::vector<std::string> names;
  bool all = false;
  bool data = false;
  bool held = false;
};

// What is known of a step: the library's findings, or why there are none.
struct Verdict {
  std::filesystem::path folder;
  Step step;
  std::optional<ckpt::Verification> found;  // with a valid manifest
  std::string reason;                       // without
  bool corrupt = false;
  bool held_suffices = false;

  const char* word() const {
    if (corrupt || (found && !found->sound())) return "corrupt";
    if (!found) return "partial";
    return found->whole() ? "complete" : "partial";
  }
  int exit_code() const {
    if (corrupt || (found && !found->sound())) return cli::kCorrupt;
    const bool enough = found && (found->whole() || (held_suffices && !found->held.empty()));
    return enough ? cli::kDone : cli::kNegative;
  }
};

Verdict judge(os::Storage& storage, const ckpt::FoundCheckpoint& checkpoint,
              const VerifyCommandOptions& options, ByteWork& work) {
  Verdict verdict{checkpoint.folder(), checkpoint.info.step, std::nullopt, "", false, options.held};
  if (!checkpoint.info.manifest) {
    verdict.reason = checkpoint.info.reason;
    verdict.corrupt = checkpoint.info.state == ckpt::StepState::corrupt;
    return verdict;
  }
  work.begin("verify " + ckpt::step_name(verdict.step), checkpoint.info.bytes);
  verdict.found = ckpt::verify_step(
      storage, verdict.folder,
      {.thoroughness = options.data ? ckpt::Thoroughness::data : ckpt::Thoroughness::structure,
       .progress = work.progress()});
  work.clear();
  return verdict;
}

void print_text(const Verdict& verdict) {
  const std::string folder = verdict.folder.string();
  const auto line = [](const std::string& text) {
    cli::print("{}\n", cli::fit_to_columns(text, std::string::npos));
  };
  if (!verdict.found)
    return line(fmt::format("{}: {}: {}", folder, verdict.word(), verdict.reason));
  const ckpt::Verification& found = *verdict.found;
  for (const ckpt::Damage& damage : found.damage) {
    line(fmt::format("{}/{}: {}", folder, damage.file, damage.reason));
  }
  for (const std::string& file : found.missing) line(fmt::format("{}/{}: not here", folder, file));
  std::string text = fmt::format("{}: {}, id {}", folder, verdict.word(), found.id.hex());
  if (!found.whole()) {
    text += fmt::format(", {} of {} stages sound here", found.held.size(),
                        found.manifest.stages.size());
  }
  if (found.checked.value() > 0) text += fmt::format(", {} read", size_text(found.checked));
  line(text);
}

nlohmann::ordered_json to_json(const ckpt::Damage& damage) {
  nlohmann::ordered_json json{{"file", damage.file}, {"reason", damage.reason}};
  if (damage.chunk) {
    json["chunk"] = damage.chunk->index;
    json["begin"] = damage.chunk->range.begin;
    json["end"] = damage.chunk->range.end;
    json["tensors"] = damage.chunk->tensors;
  }
  return json;
}

void print_json(const Verdict& verdict) {
  nlohmann::ordered_json json{
      {"step", verdict.step.value()}, {"path", verdict.folder.string()}, {"state", verdict.word()}};
  if (!verdict.found) {
    json["reason"] = verdict.reason;
    return cli::print_json_line(json);
  }
  const ckpt::Verification& found = *verdict.found;
  json["id"] = found.id.hex();
  json["weights_sha256"] = to_hex(found.manifest.weights_sha256);
  json["stages"] = found.manifest.stages.size();
  auto& held = json["held"] = nlohmann::ordered_json::array();
  for (const StageIndex stage : found.held) held.push_back(stage.value());
  json["missing"] = found.missing;
  auto& damage = json["damage"] = nlohmann::ordered_json::array();
  for (const ckpt::Damage& each : found.damage) damage.push_back(to_json(each));
  json["checked_bytes"] = found.checked.value();
  cli::print_json_line(json);
}

std::vector<ckpt::FoundCheckpoint> all_in(os::Storage& storage, const std::string& directory) {
  std::vector<ckpt::FoundCheckpoint> list;
  FolderOfCheckpoints folder = open_folder(storage, directory);
  for (ckpt::StepInfo& info : folder.steps) list.push_back({folder.store, std::move(info)});
  return list;
}

// Those that are named, or all of the folders that are named; without names the newest one in the
// folder of --dir that claims to exist.
std::vector<ckpt::FoundCheckpoint> chosen(os::Storage& storage,
                                          const VerifyCommandOptions& options) {
  std::vector<ckpt::FoundCheckpoint> list;
  for (const std::string& name : options.names) {
    if (!options.all) {
      list.push_back(find_checkpoint(storage, name, options.common.dir));
      continue;
    }
    for (ckpt::FoundCheckpoint& each : all_in(storage, name)) list.push_back(std::move(each));
  }
  if (!options.names.empty()) return list;
  std::vector<ckpt::FoundCheckpoint> all = all_in(storage, options.common.dir);
  if (options.all) return all;
  list.push_back(std::move(all.back()));
  return list;
}

// Where the newest one is broken, somebody wants to know which one is not.
void name_whole_one(const ckpt::CheckpointStore& store) {
  const auto whole = store.newest_complete();
  StderrLog("ptrain-ckpt")
      .info(whole ? fmt::format("the newest complete one is {}", ckpt::step_name(whole->step))
                  : "none there is complete");
}

int verify(const VerifyCommandOptions& options) {
  os::PosixStorage storage;
  ByteWork work;
  int code = cli::kDone;
  const std::vector<ckpt::FoundCheckpoint> checkpoints = chosen(storage, options);
  for (const ckpt::FoundCheckpoint& checkpoint : checkpoints) {
    const Verdict verdict = judge(storage, checkpoint, options, work);
    options.common.json ? print_json(verdict) : print_text(verdict);
    code = std::max(code, verdict.exit_code());  // corrupt weighs more than absent
  }
  if (code != cli::kDone && options.names.empty() && !options.all) {
    name_whole_one(checkpoints.front().store);
  }
  return code;
}

}  // namespace

void add_verify(CLI::App& app, Command& command) {
  CLI::App* sub = app.add_subcommand("verify", "Say whether checkpoints are whole");
  sub->footer("Example:\n  ptrain-ckpt verify --dir run/ckpt --all --data");
  auto o = std::make_shared<VerifyCommandOptions>();
  sub->add_option("CHECKPOINT", o->names, "Checkpoints; without any, the newest in --dir");
  sub->add_flag("--all", o->all, "All steps in the folder of --dir, or in those that are named");
  sub->add_flag("--data", o->data, "Read every byte, not only sizes and headers");
  sub->add_flag("--held", o->held, "Be content with the stages whose files are here");
  add_common_options(*sub, o->common);
  sub->callback([&command, o] { command = [o] { return verify(*o); }; });
}

}  // namespace ptrain::ckpt_tool
