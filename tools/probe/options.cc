#include "tools/probe/options.h"

#include <chrono>

#include "libcommon/base/rate_limit.h"
#include "libcommon/cli/number_range.h"

namespace ptrain::probe_tool {
namespace {

constexpr std::uint64_t kLeastBytes = 100'000;  // with fewer nothing can be said
constexpr double kMostSeconds = 600;
constexpr std::size_t kNameDigits = 16;  // of a key: others that begin so are not found

}  // namespace

void add_common_options(CLI::App& command, CommonOptions& options) {
  command.add_option("--ticket", options.ticket_file,
                     "Of a run: its members are met through its relays");
  command.add_option("--key", options.key_file,
                     "This host's key file (default: ~/.config/ptrain/key)");
  command.add_option("--max-bytes", options.max_bytes, "Bytes at most, each way of a test")
      ->transform(CLI::AsSizeValue(true))
      ->check(cli::whole_range(kLeastBytes, wire::kMaxProbeBudgetBytes))
      ->capture_default_str();
  command
      .add_option("--max-rate", options.max_rate_bytes_per_s, "Bytes a second at most, as in 10MB")
      ->transform(CLI::AsSizeValue(true))
      ->check(cli::whole_range(kMinRateBytesPerS, std::uint64_t{1} << 50));
  command.add_option("--max-time", options.max_time_s, "Seconds at most, each way of a test")
      ->check(cli::number_range(0.1, kMostSeconds))
      ->capture_default_str();
  command.add_flag("--json", options.json, "Print JSON, one object a line");
}

wire::ProbeLimits limits_of(const CommonOptions& options) {
  const std::chrono::duration<double> time(options.max_time_s);
  return {.bytes = ByteCount(options.max_bytes),
          .time = std::chrono::duration_cast<std::chrono::microseconds>(time),
          .rate_bytes_per_s = options.max_rate_bytes_per_s};
}

std::optional<net::Meeting> meeting_of(const CommonOptions& options) {
  if (options.ticket_file.empty()) return std::nullopt;
  return net::Meeting{.ticket = net::load_valid_ticket(options.ticket_file, net::wall_now()),
                      .outside_file = net::outside_ports_file()};
}

std::string name_of(const net::PublicKey& key) { return net::to_hex(key).substr(0, kNameDigits); }

}  // namespace ptrain::probe_tool
