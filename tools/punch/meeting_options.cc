#include "tools/punch/meeting_options.h"

#include <chrono>

#include <fmt/format.h>

#include "libcommon/base/base32.h"
#include "libcommon/base/random_source.h"
#include "libcommon/cli/number_range.h"
#include "libcommon/net/peer_record.h"

namespace ptrain::punch {
namespace {

constexpr std::size_t kNameDigits = 16;  // of a key: others that begin so are not found
constexpr std::size_t kDrawnBytes = 5;

}  // namespace

void add_meeting_options(CLI::App& command, MeetingOptions& options) {
  command.add_option("--ticket", options.ticket_file, "Of the run whose relays both sides know")
      ->required();
  command.add_option("--key", options.key_file,
                     "This host's key file (default: ~/.config/ptrain/key)");
  command
      .add_option("--port", options.ports,
                  "Connect from this port, and be met at it; may be given again")
      ->check(cli::whole_range(1, 65535))
      ->expected(1)
      ->take_all();
  command.add_flag("--json", options.json, "Print JSON, one object a line");
}

net::Introduction introduction() {
  return {.run = "punch", .job_hash = "", .stage_count = 2, .data_fingerprint = ""};
}

net::Meeting meeting_of(const MeetingOptions& options) {
  return {.ticket = net::load_valid_ticket(options.ticket_file, net::wall_now()),
          .outside_file = net::outside_ports_file(),
          .hole_ports = options.ports};
}

bool is_name(std::string_view text) { return net::is_role(text) && text.size() <= kMaxNameChars; }

std::string name_of(const net::PublicKey& key) { return net::to_hex(key).substr(0, kNameDigits); }

std::string draw_name() {
  SystemRandom random;
  return to_base32(random.bytes<kDrawnBytes>());
}

nlohmann::ordered_json rung_line(const net::PathRung& rung) {
  nlohmann::ordered_json line{
      {"kind", "rung"}, {"rung", rung.kind}, {"at", rung.at}, {"outcome", rung.outcome}};
  if (!rung.why.empty()) line["why"] = rung.why;
  if (rung.after) line["after_s"] = seconds(*rung.after);
  return line;
}

std::string rung_text(const net::PathRung& rung) {
  std::string text = fmt::format("{:<10} {:<28} {}", rung.kind, rung.at, rung.outcome);
  if (!rung.why.empty() && rung.why != rung.outcome) text += ": " + rung.why;
  if (rung.after) text += fmt::format(", after {:.0f} ms", seconds(*rung.after) * 1e3);
  return text;
}

}  // namespace ptrain::punch
