#include "tools/relay/control/access_rules.h"

#include <algorithm>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/base/text_lines.h"
#include "libcommon/os/read_file.h"

namespace ptrain::relay {
namespace {

constexpr std::string_view kAll = "*";

std::string place(const std::string& source, const TextLine& line) {
  return fmt::format("{}: line {}", source, line.number);
}

// While a file is read, '*' lifts the restriction only at its end: other lines may follow.
struct Lifted {
  bool peers = false;
  bool runs = false;
};

void take_line(AccessRules& rules, Lifted& lifted, std::string_view line,
               const std::string& source) {
  const std::vector<std::string_view> words = words_of(line);
  const std::string_view kind = words[0];
  const std::string_view value = words.size() > 1 ? words[1] : "";
  if (words.size() > 2 || (kind != "peer" && kind != "run")) {
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

std::string how_to_allow(const net::PublicKey& key) {
  return fmt::format("--allow-peer {0}, or a line 'peer {0}' in the --allow-file, lets it in",
                     net::to_hex(key));
}

std::string how_to_allow(const net::RunId& run) {
  return fmt::format("--allow-run {0}, or a line 'run {0}' in the --allow-file, lets it in",
                     run.to_string());
}

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
  for (const TextLine& line : text_lines(text)) {
    take_line(rules, lifted, line.text, place(source, line));
  }
  if (lifted.peers) rules.peers.reset();
  if (lifted.runs) rules.runs.reset();
}

bool AccessRules::is_neighbour(const net::PublicKey& key) const {
  return std::ranges::any_of(
      neighbours, [&](const net::TicketRelay& relay) { return relay.control.key == key; });
}

void add_neighbour(AccessRules& rules, std::string_view word, const net::PublicKey& own,
                   const std::string& source) {
  const net::TicketRelay relay = [&] {
    try {
      return net::parse_relay_word(word);
    } catch (const Error& error) {
      throw Error(ErrorKind::usage, fmt::format("{}: {}", source, error.what()), error.hint());
    }
  }();
  const net::PublicKey& key = *relay.control.key;
  if (key == own || std::ranges::find(rules.neighbours, relay) != rules.neighbours.end()) return;
  if (rules.is_neighbour(key)) {
    throw Error(ErrorKind::usage,
                fmt::format("{}: the key of '{}' is another neighbour's as well", source, word),
                "each relay has a key of its own: ptrain-relay identity prints it");
  }
  if (rules.neighbours.size() == kMaxNeighbours) {
    throw Error(ErrorKind::usage,
                fmt::format("{}: more than {} neighbours", source, kMaxNeighbours));
  }
  rules.neighbours.push_back(relay);
}

void parse_neighbour_file(AccessRules& rules, std::string_view text, const net::PublicKey& own,
                          const std::string& source) {
  for (const TextLine& line : text_lines(text)) {
    add_neighbour(rules, line.text, own, place(source, line));
  }
}

AccessRules read_access(const AccessOptions& options, const net::PublicKey& own) {
  AccessRules rules;
  for (const std::string& peer : options.peers) allow_peer(rules, peer, "--allow-peer");
  for (const std::string& run : options.runs) allow_run(rules, run, "--allow-run");
  if (!options.file.empty()) {
    os::PosixStorage storage;
    parse_allow_file(rules, os::read_file(storage, options.file, kMaxAllowFileBytes), options.file);
  }
  for (const std::string& word : options.neighbours) {
    add_neighbour(rules, word, own, "--neighbour");
  }
  if (!options.neighbour_file.empty()) {
    os::PosixStorage storage;
    const std::string& file = options.neighbour_file;
    parse_neighbour_file(rules, os::read_file(storage, file, kMaxNeighbourFileBytes), own, file);
  }
  return rules;
}

}  // namespace ptrain::relay
