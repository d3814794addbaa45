// The subcommands of ptrain-probe, a file each. Each adds itself and its options to the program
// and, when it is chosen, sets `command` to what main runs. --help lists them in the order of the
// table.

#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace ptrain::probe_tool {

using Command = std::function<int()>;  // returns the exit code
using AddCommand = void (*)(CLI::App& app, Command& command);

void add_compute(CLI::App& app, Command& command);
void add_link(CLI::App& app, Command& command);
void add_matrix(CLI::App& app, Command& command);
void add_nat(CLI::App& app, Command& command);
void add_plan(CLI::App& app, Command& command);
void add_serve(CLI::App& app, Command& command);

inline constexpr AddCommand kCommands[] = {add_serve, add_link,    add_matrix,
                                           add_nat,   add_compute, add_plan};

}  // namespace ptrain::probe_tool
