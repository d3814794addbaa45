#include "tools/data/info.h"

#include <fmt/format.h>

#include "libcommon/base/clock.h"
#include "libcommon/base/sha256.h"
#include "libcommon/cli/exit_code.h"
#include "libcommon/cli/json_line.h"
#include "libcommon/cli/output.h"
#include "libcommon/cli/progress.h"
#include "libcommon/data/tokenizer.h"

namespace ptrain::data {
namespace {

void print_text(const TokenShard& shard, const ShardInfo& info) {
  const auto& tokenizer = info.header.tokenizer;
  cli::print("{}: {} tokens of {} bits, largest {}, {} bytes, sha256 {}{}\n", shard.path().string(),
             info.header.token_count, 8 * bytes_per_token(info.header.width), info.largest_token,
             info.header.file_bytes(), info.sha256,
             tokenizer ? ", made by " + tokenizer_text(tokenizer) : "");
}

void print_json(const TokenShard& shard, const ShardInfo& info) {
  nlohmann::ordered_json json{{"path", shard.path().string()},
                              {"magic", info.header.magic()},
                              {"version", info.header.version()},
                              {"token_bits", 8 * bytes_per_token(info.header.width)},
                              {"tokens", info.header.token_count},
                              {"largest_token", info.largest_token},
                              {"size_bytes", info.header.file_bytes()},
                              {"sha256", info.sha256}};
  if (info.header.tokenizer) json["tokenizer_sha256"] = to_hex(*info.header.tokenizer);
  cli::print_json_line(json);
}

}  // namespace

ShardInfo info_of(const TokenShard& shard) {
  return {.header = shard.header(),
          .largest_token = shard.largest_token(0, shard.token_count()),
          .sha256 = to_hex(sha256(shard.file_bytes()))};
}

void add_info_options(CLI::App& command, InfoOptions& options) {
  command.footer("Example:\n  ptrain-data info tokens/*.bin");
  command.add_option("SHARD", options.shards, "token shards")->required();
  command.add_flag("--json", options.json, "print one JSON object a shard");
}

int run_info(const InfoOptions& options) {
  const SteadyClock clock;
  cli::ProgressLine progress(clock);
  for (const std::string& path : options.shards) {
    progress.update(path);
    const TokenShard shard(path);
    const ShardInfo info = info_of(shard);
    progress.clear();
    options.json ? print_json(shard, info) : print_text(shard, info);
  }
  return cli::kDone;
}

}  // namespace ptrain::data
