// ptrain-ckpt fetch: brings a checkpoint here from whoever holds it, or mends the one here.

#include "libcommon/transfer/fetch.h"

#include <memory>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "libcommon/ckpt/checkpoint_name.h"
#include "libcommon/cli/exit_code.h"
#include "libcommon/cli/json_line.h"
#include "libcommon/cli/output.h"
#include "tools/ckpt/commands.h"
#include "tools/ckpt/fetch_work.h"
#include "tools/ckpt/holder_options.h"
#include "tools/ckpt/options.h"

namespace ptrain::ckpt_tool {
namespace {

struct FetchCommandOptions {
  CommonOptions common;
  HolderCommandOptions holders;
  std::string which = "latest";
};

int fetch(const FetchCommandOptions& options) {
  FetchWork work;
  transfer::FetchOptions fetching = fetch_options(options.holders);
  fetching.which = options.which;
  fetching.directory = ckpt::checkpoint_folder(work.storage(), options.common.dir);
  const transfer::FetchResult result = work.fetch(std::move(fetching));
  if (options.common.json) {
    cli::print_json_line(to_json(result));
  } else {
    cli::print("{}\n", to_text(result));
  }
  return cli::kDone;
}

}  // namespace

void add_fetch(CLI::App& app, Command& command) {
  CLI::App* sub = app.add_subcommand("fetch", "Bring a checkpoint here from holders, or mend it");
  sub->footer(
      "Example:\n"
      "  ptrain-ckpt fetch --from tcp://one.example.net:7100#KEY --dir copy latest\n"
      "where the endpoint is what ptrain-ckpt serve prints on the host that holds it.");
  auto o = std::make_shared<FetchCommandOptions>();
  sub->add_option("CHECKPOINT", o->which, "latest, a step, or digits of an id, of the holders'")
      ->capture_default_str();
  add_holder_options(*sub, o->holders);
  add_common_options(*sub, o->common);
  sub->callback([&command, o] { command = [o] { return fetch(*o); }; });
}

}  // namespace ptrain::ckpt_tool
