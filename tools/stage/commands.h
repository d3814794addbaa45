// The subcommands of ptrain-stage. Each adds itself and its options to the program and,
// when it is chosen, sets `command` to what main runs.

#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace ptrain::stage {

using Command = std::function<int()>;

void add_run(CLI::App& app, Command& command);
void add_bench(CLI::App& app, Command& command);
void add_eval(CLI::App& app, Command& command);
void add_sample(CLI::App& app, Command& command);
void add_job(CLI::App& app, Command& command);
void add_ledger(CLI::App& app, Command& command);
void add_identity(CLI::App& app, Command& command);

}  // namespace ptrain::stage
