// ptrain-data info: what a token shard holds, and the hash of its file.

#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "libcommon/data/token_shard.h"

namespace ptrain::data {

struct InfoOptions {
  std::vector<std::string> shards;
  bool json = false;
};

struct ShardInfo {
  ShardHeader header;
  std::uint32_t largest_token = 0;
  std::string sha256;  // of the file, in hexadecimal
};

ShardInfo info_of(const TokenShard& shard);

void add_info_options(CLI::App& command, InfoOptions& options);
// Prints one line, or one JSON object, a shard; returns the exit code.
int run_info(const InfoOptions& options);

}  // namespace ptrain::data
