#include "tools/ckpt/holder_options.h"

#include <algorithm>
#include <filesystem>

#include <fmt/format.h>

#include "libcommon/transfer/rate_limit.h"
#include "libcommon/wire/frame.h"

namespace ptrain::ckpt_tool {

void add_key_option(CLI::App& command, std::string& key_file) {
  command.add_option("--key", key_file, "This host's key file (default: ~/.config/ptrain/key)");
}

void add_rate_option(CLI::App& command, std::uint64_t& rate_bytes_per_s) {
  command.add_option("--rate", rate_bytes_per_s, "Bytes a second at most, as in 10MB")
      ->transform(CLI::AsSizeValue(true))
      ->check(CLI::Range(transfer::kMinRateBytesPerS, std::uint64_t{1} << 50));
}

void add_holder_options(CLI::App& command, HolderCommandOptions& options) {
  command.add_option("--from", options.from, "Endpoint of a holder; may be given again")
      ->expected(1)
      ->take_all()
      ->required();
  command.add_option("--stage", options.stage, "Only the files of this stage, from 0");
  add_key_option(command, options.key_file);
  add_rate_option(command, options.rate_bytes_per_s);
  command.add_option("--connections", options.connections, "Connections for chunks to each holder")
      ->check(CLI::Range(std::uint32_t{1}, std::uint32_t{wire::kMaxStrands}))
      ->capture_default_str();
  command.add_option("--timeout", options.timeout_s, "Seconds for a holder to answer")
      ->check(CLI::Range(0.1, 86400.0))
      ->capture_default_str();
}

std::optional<ByteCount> rate_of(std::uint64_t bytes_per_s) {
  return bytes_per_s == 0 ? std::nullopt : std::optional(ByteCount(bytes_per_s));
}

transfer::FetchOptions fetch_options(const HolderCommandOptions& options) {
  transfer::FetchOptions fetch;
  for (const std::string& text : options.from) {
    fetch.holders.endpoints.push_back(net::parse_endpoint(text));
  }
  const bool keyed =
      std::ranges::any_of(fetch.holders.endpoints, [](const auto& e) { return e.key.has_value(); });
  if (keyed || !options.key_file.empty()) {
    const std::filesystem::path file(options.key_file);
    fetch.holders.key = net::load_or_create_key(file.empty() ? net::default_key_path() : file);
  }
  fetch.holders.connections = static_cast<std::uint8_t>(options.connections);
  fetch.holders.connect_timeout =
      std::chrono::duration_cast<Duration>(std::chrono::duration<double>(options.timeout_s));
  if (options.stage) fetch.share = StageIndex(*options.stage);
  fetch.rate_bytes_per_s = rate_of(options.rate_bytes_per_s);
  return fetch;
}

Error with_our_key(const Error& error, const std::optional<net::KeyPair>& key) {
  if (error.kind() != ErrorKind::permission || !key) return error;
  return Error(error.kind(), error.what(),
               fmt::format("its owner lets you in with: ptrain-ckpt serve --admit {}",
                           net::to_hex(key->public_key())));
}

}  // namespace ptrain::ckpt_tool
