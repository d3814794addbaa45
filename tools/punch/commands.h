// The subcommands of ptrain-punch, a file each. Each adds itself and its options to the
// program and, when it is chosen, sets `command` to what main runs. --help lists them in
// the order of the table.

#pragma once

#include <functional>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace ptrain::punch {

using Command = std::function<int()>;  // returns the exit code
// What stands behind -- on the command line, which is another program's.
using Words = std::vector<std::string>;
using AddCommand = void (*)(CLI::App& app, Command& command, const Words& behind);

void add_dial(CLI::App& app, Command& command, const Words& behind);
void add_listen(CLI::App& app, Command& command, const Words& behind);
void add_map(CLI::App& app, Command& command, const Words& behind);
void add_status(CLI::App& app, Command& command, const Words& behind);
void add_unmap(CLI::App& app, Command& command, const Words& behind);

inline constexpr AddCommand kCommands[] = {add_map, add_status, add_unmap, add_dial, add_listen};

}  // namespace ptrain::punch
