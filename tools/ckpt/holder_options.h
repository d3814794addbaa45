// The options of the commands that talk to holders: from whom, with which key, how fast.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "libcommon/base/error.h"
#include "libcommon/base/units.h"
#include "libcommon/net/keys.h"
#include "libcommon/transfer/fetch.h"

namespace ptrain::ckpt_tool {

struct HolderCommandOptions {
  std::vector<std::string> from;
  std::string ticket_file;             // empty: only those of `from`
  std::string key_file;                // empty: net::default_key_path(), where one is needed
  std::uint64_t rate_bytes_per_s = 0;  // 0: no limit
  double timeout_s = 30;
  std::uint32_t connections = 1;
  std::optional<std::uint32_t> stage;
};

void add_holder_options(CLI::App& command, HolderCommandOptions& options);
// --ticket, --key and --rate, which serving needs as well.
void add_ticket_option(CLI::App& command, std::string& ticket_file);
void add_key_option(CLI::App& command, std::string& key_file);
void add_rate_option(CLI::App& command, std::uint64_t& rate_bytes_per_s);

// Of a fetch: holders, share and rate; the rest is the caller's.
transfer::FetchOptions fetch_options(const HolderCommandOptions& options);
std::optional<ByteCount> rate_of(std::uint64_t bytes_per_s);
// nullopt without a ticket. Throws Error(permission) where its date is over.
std::optional<net::Meeting> meeting_of(const std::string& ticket_file);

}  // namespace ptrain::ckpt_tool
