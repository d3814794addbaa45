// The subcommands of ptrain-relay, a file each. Each adds itself and its options to the
// program and, when it is chosen, sets `command` to what main runs. --help lists them in
// the order of the table.

#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace ptrain::relay {

using Command = std::function<int()>;  // returns the exit code
using AddCommand = void (*)(CLI::App& app, Command& command);

void add_identity(CLI::App& app, Command& command);
void add_peers(CLI::App& app, Command& command);
void add_runs(CLI::App& app, Command& command);
void add_serve(CLI::App& app, Command& command);
void add_ticket(CLI::App& app, Command& command);
void add_top(CLI::App& app, Command& command);

inline constexpr AddCommand kCommands[] = {add_serve, add_identity, add_ticket,
                                           add_peers, add_runs,     add_top};

}  // namespace ptrain::relay
