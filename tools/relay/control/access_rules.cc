#include "tools/relay/control/access_rules.h"

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/os/read_file.h"

namespace ptrain::relay {
namespace {

constexpr std::string_view kAll = "*";

// While a file is read, '*' lifts the restriction only at its end: other lines may follow.
struct Lifted {
  bool peers = false;
  bool runs = false;
};

void take_line(AccessRules& rules, Lifted& lifted, std::string_view line,
               const std::string& source) {
  const std::size_t space = line.find(' ');
  const std::string_view kind = line.substr(0, space);
  const std::string_view value = space == std::string_view::npos ? "" : line.substr(space + 1);
  if (kind != "peer" && kind != "run") {
    throw Error(ErrorKind::usage,
                fmt::format("{}: '{}' is neither 'peer KEY' nor 'run ID'", source, line));
  }
  if (value == kAll) {
    (kind == "peer" ? lifted.peers : lifted.runs) = true;
  } else {
    kind == "peer" ? allow_peer(rules, value, source) : allow_run(rules, value, source);
  }
}

}  // namespace

void allow_peer(AccessRules& rules, std::string_view text, const std::string& source) {
  const auto key = net::parse_public_key(text);
  if (!key) {
    throw Error(ErrorKind::usage,
                fmt::format("{}: '{}' is not 64 hexadecimal digits", source, text),
                "a host's public key is what ptrain-stage identity prints there");
  }
  if (!rules.peers) rules.peers.emplace();
  rules.peers->insert(*key);
}

void allow_run(AccessRules& rules, std::string_view text, const std::string& source) {
  const auto run = net::RunId::parse(text);
  if (!run) {
    throw Error(ErrorKind::usage, fmt::format("{}: '{}' is no run id", source, text),
                "a run's id is what ptrain-relay ticket show prints");
  }
  if (!rules.runs) rules.runs.emplace();
  rules.runs->insert(*run);
}

void parse_allow_file(AccessRules& rules, std::string_view text, const std::string& source) {
  if (!rules.peers) rules.peers.emplace();
  if (!rules.runs) rules.runs.emplace();
  Lifted lifted;
  int number = 0;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    ++number;
    if (line.empty() || line.front() == '#') continue;
    take_line(rules, lifted, line, fmt::format("{}: line {}", source, number));
  }
  if (lifted.peers) rules.peers.reset();
  if (lifted.runs) rules.runs.reset();
}

AccessRules read_access(const AccessOptions& options) {
  AccessRules rules;
  for (const std::string& peer : options.peers) allow_peer(rules, peer, "--allow-peer");
  for (const std::string& run : options.runs) allow_run(rules, run, "--allow-run");
  if (!options.file.empty()) {
    os::PosixStorage storage;
    parse_allow_file(rules, os::read_file(storage, options.file, kMaxAllowFileBytes), options.file);
  }
  return rules;
}

}  // namespace ptrain::relay
