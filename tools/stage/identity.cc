// ptrain-stage identity: this host's public key, made on first use.

#include <memory>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "libcommon/cli/exit_code.h"
#include "libcommon/cli/output.h"
#include "libcommon/net/keys.h"
#include "tools/stage/commands.h"

namespace ptrain::stage {

void add_identity(CLI::App& app, Command& command) {
  CLI::App* sub = app.add_subcommand("identity", "Print this host's public key");
  sub->footer("Example:\n  ptrain-stage identity");
  auto key_file = std::make_shared<std::string>();
  sub->add_option("--key", *key_file, "Key file (default: ~/.config/ptrain/key)");
  sub->callback([&command, key_file] {
    command = [key_file] {
      cli::print("{}\n", net::to_hex(net::host_key(*key_file).public_key()));
      return cli::kDone;
    };
  });
}

}  // namespace ptrain::stage
