#include "tools/relay/control/access_rules.h"

#include <algorithm>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/os/read_file.h"

namespace ptrain::relay {
namespace {

constexpr std::string_view kAll = "*";

// Calls `take` with each line that says something, and with its number for people.
template <class Take>
void for_each_line(std::string_view text, const std::string& source, Take take) {
  for (int number = 1; !text.empty(); ++number) {
    const std::size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.empty() || line.front() == '#') continue;
    take(line, fmt::format("{}: line {}", source, number));
  }
}

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
  for_each_line(text, source, [&](std::string_view line, const std::string& where) {
    take_line(rules, lifted, line, where);
  });
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
  for_each_line(text, source, [&](std::string_view line, const std::string& where) {
    add_neighbour(rules, line, own, where);
  });
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
