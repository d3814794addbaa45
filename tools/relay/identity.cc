// ptrain-relay identity: the relay's public key, made on first use, so that other relays can name
// it before it has run.

#include <filesystem>
#include <memory>
#include <string>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "libcommon/cli/exit_code.h"
#include "libcommon/cli/output.h"
#include "libcommon/net/keys.h"
#include "tools/relay/commands.h"

namespace ptrain::relay {

void add_identity(CLI::App& app, Command& command) {
  CLI::App* sub = app.add_subcommand("identity", "Print the relay's public key");
  sub->footer("Example:\n  ptrain-relay identity --state relay");
  auto state = std::make_shared<std::string>();
  sub->add_option("--state", *state, "The relay's folder")->required();
  sub->callback([&command, state] {
    command = [state] {
      const auto key = net::load_or_create_key(std::filesystem::path(*state) / "key");
      cli::print("{}\n", net::to_hex(key.public_key()));
      return cli::kDone;
    };
  });
}

}  // namespace ptrain::relay
