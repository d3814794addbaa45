// The options that both subcommands have: who we are, whom of a run we meet, and what a test may
// cost.

#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <CLI/CLI.hpp>

#include "libcommon/net/node.h"
#include "libcommon/probe/link_test.h"
#include "libcommon/wire/probe.h"

namespace ptrain::probe_tool {

struct CommonOptions {
  std::string ticket_file;  // empty: none
  std::string key_file;     // empty: net::default_key_path(), where one is needed
  std::uint64_t max_bytes = probe::kDefaultBytes.value();
  std::uint64_t max_rate_bytes_per_s = 0;  // 0: no limit
  double max_time_s = seconds(probe::kDefaultTime);
  bool json = false;
};

void add_common_options(CLI::App& command, CommonOptions& options);

wire::ProbeLimits limits_of(const CommonOptions& options);
// nullopt without a ticket. Throws Error(permission) where its date is over.
std::optional<net::Meeting> meeting_of(const CommonOptions& options);
// What a server of a run is called where nobody says otherwise.
std::string name_of(const net::PublicKey& key);

}  // namespace ptrain::probe_tool
