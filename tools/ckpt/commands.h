// The subcommands of ptrain-ckpt, a file each. Each adds itself and its options to the
// program and, when it is chosen, sets `command` to what main runs. --help lists them in
// the order of the table.

#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace ptrain::ckpt_tool {

using Command = std::function<int()>;  // returns the exit code
using AddCommand = void (*)(CLI::App& app, Command& command);

void add_diff(CLI::App& app, Command& command);
void add_export(CLI::App& app, Command& command);
void add_fetch(CLI::App& app, Command& command);
void add_gc(CLI::App& app, Command& command);
void add_import(CLI::App& app, Command& command);
void add_ls(CLI::App& app, Command& command);
void add_merge(CLI::App& app, Command& command);
void add_replicate(CLI::App& app, Command& command);
void add_reshard(CLI::App& app, Command& command);
void add_seal(CLI::App& app, Command& command);
void add_serve(CLI::App& app, Command& command);
void add_show(CLI::App& app, Command& command);
void add_verify(CLI::App& app, Command& command);

inline constexpr AddCommand kCommands[] = {
    add_ls,     add_show,   add_verify, add_diff,  add_seal,  add_merge,     add_reshard,
    add_export, add_import, add_gc,     add_serve, add_fetch, add_replicate,
};

}  // namespace ptrain::ckpt_tool
