// ptrain-data decode: tokens back to text, on stdout, in bounded memory.

#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <CLI/CLI.hpp>

#include "libcommon/data/tokenizer.h"
#include "tools/data/token_stream.h"

namespace ptrain::data {

struct DecodeOptions {
  std::string shard;  // a path; "-" is standard input
  std::string tokenizer = "bytes";
  std::uint64_t begin = 0;
  std::optional<std::uint64_t> count;  // else to the end
};

void add_decode_options(CLI::App& command, DecodeOptions& options);
// Writes the text to stdout, returns the exit code.
int run_decode(const DecodeOptions& options);

}  // namespace ptrain::data
