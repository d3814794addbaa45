// The options that subcommands share.

#pragma once

#include <string>

#include <CLI/CLI.hpp>

namespace ptrain::ckpt_tool {

struct CommonOptions {
  std::string dir = "ckpt";  // a job's default of checkpoint.dir
  bool json = false;
};

inline void add_common_options(CLI::App& command, CommonOptions& options) {
  command.add_option("--dir", options.dir, "Folder of a run's checkpoints")->capture_default_str();
  command.add_flag("--json", options.json, "Print JSON, one object a line");
}

// Of a command that is about a folder, which may be named without --dir.
inline void add_folder_options(CLI::App& command, CommonOptions& options) {
  add_common_options(command, options);
  command.add_option("FOLDER", options.dir, "The same as --dir")
      ->excludes(command.get_option("--dir"));
}

}  // namespace ptrain::ckpt_tool
