// ptrain-data encode: text to token shards, in bounded memory, however large the text.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "libcommon/base/clock.h"
#include "libcommon/os/stop_signal.h"
#include "tools/data/shard_set.h"

namespace ptrain::data {

// As many as the shards of the usual web-text sets hold.
inline constexpr std::uint64_t kDefaultShardTokens = 100'000'000;

struct EncodeOptions {
  std::string tokenizer = "bytes";
  double val_fraction = 0.0;        // of each text, its end; 0 <= F < 1
  std::optional<TokenWidth> width;  // else what the vocabulary needs
  std::uint64_t shard_tokens = kDefaultShardTokens;
  std::string out;
  bool replace = false;
  std::vector<std::string> texts;  // paths; "-" is standard input
  bool json = false;
};

struct EncodeResult {
  std::string tokenizer;
  std::uint32_t vocab_size = 0;
  std::uint64_t text_bytes = 0;
  std::vector<ShardRecord> shards;
  double elapsed_s = 0.0;
};

// Nothing when a stop signal came first; then no shard was left in the directory.
std::optional<EncodeResult> encode(const EncodeOptions& options, const Clock& clock,
                                   const os::StopSignal& stop);

void add_encode_options(CLI::App& command, EncodeOptions& options);
// Encodes, prints the shards on stdout, returns the exit code.
int run_encode(const EncodeOptions& options);

}  // namespace ptrain::data
