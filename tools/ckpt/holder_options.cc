#include "tools/ckpt/holder_options.h"

#include <algorithm>

#include <fmt/format.h>

#include "libcommon/base/rate_limit.h"
#include "libcommon/cli/number_range.h"
#include "libcommon/wire/frame.h"

namespace ptrain::ckpt_tool {

void add_key_option(CLI::App& command, std::string& key_file) {
  command.add_option("--key", key_file, "This host's key file (default: ~/.config/ptrain/key)");
}

void add_ticket_option(CLI::App& command, std::string& ticket_file) {
  command.add_option("--ticket", ticket_file, "Of a run: its members are met through its relays");
}

void add_rate_option(CLI::App& command, std::uint64_t& rate_bytes_per_s) {
  command.add_option("--rate", rate_bytes_per_s, "Bytes a second at most, as in 10MB")
      ->transform(CLI::AsSizeValue(true))
      ->check(cli::whole_range(kMinRateBytesPerS, std::uint64_t{1} << 50));
}

void add_holder_options(CLI::App& command, HolderCommandOptions& options) {
  command.add_option("--from", options.from, "Endpoint of a holder; may be given again")
      ->expected(1)
      ->take_all();
  add_ticket_option(command, options.ticket_file);
  command.add_option("--stage", options.stage, "Only the files of this stage, from 0");
  add_key_option(command, options.key_file);
  add_rate_option(command, options.rate_bytes_per_s);
  command.add_option("--connections", options.connections, "Connections for chunks to each holder")
      ->check(cli::whole_range(std::uint32_t{1}, std::uint32_t{wire::kMaxConnections}))
      ->capture_default_str();
  command.add_option("--timeout", options.timeout_s, "Seconds for a holder to answer")
      ->check(cli::number_range(0.1, 86400.0))
      ->capture_default_str();
}

std::optional<net::Meeting> meeting_of(const std::string& ticket_file) {
  if (ticket_file.empty()) return std::nullopt;
  return net::Meeting{.ticket = net::load_valid_ticket(ticket_file, net::wall_now()),
                      .outside_file = net::outside_ports_file()};
}

std::optional<ByteCount> rate_of(std::uint64_t bytes_per_s) {
  return bytes_per_s == 0 ? std::nullopt : std::optional(ByteCount(bytes_per_s));
}

transfer::FetchOptions fetch_options(const HolderCommandOptions& options) {
  transfer::FetchOptions fetch;
  for (const std::string& text : options.from) {
    fetch.holders.endpoints.push_back(net::parse_endpoint(text));
  }
  fetch.holders.meeting = meeting_of(options.ticket_file);
  if (fetch.holders.endpoints.empty() && !fetch.holders.meeting) {
    throw Error(ErrorKind::usage, "from whom? neither --from nor --ticket was given",
                "--from ENDPOINT names a holder, --ticket FILE all that the relays of a run know");
  }
  const bool keyed =
      fetch.holders.meeting ||
      std::ranges::any_of(fetch.holders.endpoints, [](const auto& e) { return e.key.has_value(); });
  if (keyed || !options.key_file.empty()) fetch.holders.key = net::host_key(options.key_file);
  fetch.holders.connections = static_cast<std::uint8_t>(options.connections);
  fetch.holders.connect_timeout =
      std::chrono::duration_cast<Duration>(std::chrono::duration<double>(options.timeout_s));
  if (options.stage) fetch.share = StageIndex(*options.stage);
  fetch.rate_bytes_per_s = rate_of(options.rate_bytes_per_s);
  return fetch;
}

}  // namespace ptrain::ckpt_tool
