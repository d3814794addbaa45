// The part of a rendezvous that has to do with what we say of ourselves, and of our paths.

#include <algorithm>
#include <chrono>
#include <iterator>
#include <utility>

#include <fmt/format.h>

#include "libcommon/net/relay_codec.h"
#include "libcommon/net/rendezvous.h"

namespace ptrain::net {
namespace {

constexpr Duration kHostLook = std::chrono::seconds(10);

// What peers with other tickets need in order to come to our relays.
std::vector<TicketRelay> relays_to_tell(const Ticket& ticket) {
  std::vector<TicketRelay> relays;
  for (const TicketRelay& relay : ticket.relays) {
    if (relays.size() < kMaxRecordRelays && to_word(relay).size() <= kMaxRelayWordChars) {
      relays.push_back(relay);
    }
  }
  return relays;
}

}  // namespace

SignedRecord Rendezvous::record() const {
  const PeerRecord record{.run_key = options_.ticket.issuer,
                          .peer_key = options_.key.public_key(),
                          .role = options_.role,
                          .sequence = options_.sequence,
                          .candidates = published_,
                          .relays = relays_to_tell(options_.ticket),
                          .grant = options_.ticket.grant};
  return sign(record, options_.ticket.secret.member_key());
}

// ---- What we publish.

// A host that has no port for it goes on without.
void Rendezvous::start_punching() {
  std::vector<std::uint16_t> ports = options_.hole_ports;
  // A port that a router maps, and that nobody else listens at, is a hole that everyone reaches.
  for (const OutsidePort& each : outside_.ports()) {
    const bool known = std::ranges::find(ports, each.port) != ports.end();
    if (each.protocol == "tcp" && each.port != options_.listening_port && !known) {
      ports.push_back(each.port);
    }
  }
  try {
    auto punching = transport_.punch({.identity = {.secret = options_.ticket.secret,
                                                   .run = options_.ticket.run_id().to_string(),
                                                   .ours = options_.key.public_key()},
                                      .holes = 1u + options_.connections,
                                      .ports = std::move(ports)},
                                     random_);
    if (!punching) return;
    party_ = std::make_unique<PunchParty>(transport_, std::move(punching), options_.role,
                                          options_.key, options_.connections, random_);
    party_->set_outside(outside_.ports());
  } catch (const Error& error) {
    lines_.warn(fmt::format("no paths are punched: {}", error.what()), now_);
  }
}

std::vector<Endpoint> Rendezvous::candidates() const {
  if (!options_.direct) return {};
  std::vector<Endpoint> all;
  const auto add = [&](const Endpoint& each) {
    const bool known = std::ranges::find(all, each) != all.end();
    if (!known && all.size() < kMaxCandidates) all.push_back(each);
  };
  if (options_.listening_port != 0) {
    for (const OutsidePort& each : outside_.ports()) {
      if (each.protocol != "tcp" || each.port != options_.listening_port) continue;
      Endpoint outside;
      outside.host = each.host;
      outside.port = each.outside;
      add(outside);
    }
  }
  for (const Endpoint& each : options_.candidates) add(each);
  if (party_) {
    for (const Endpoint& each : party_->candidates(kMaxCandidates - all.size())) add(each);
  }
  return all;
}

void Rendezvous::publish(std::vector<Endpoint> candidates, TimePoint now) {
  if (candidates == published_) return;
  published_ = std::move(candidates);
  ++options_.sequence;
  for (Relay& relay : relays_) {
    relay.link->replace_record(record(), now);
  }
}

void Rendezvous::stop_punching(const std::string& why, TimePoint now) {
  lines_.warn(fmt::format("no more paths are punched: {}", why), now);
  party_->for_each_source([&](PathSource& source) { retire(source, now); });
  party_.reset();
}

// This host's own addresses are looked at now and then, for each look asks the kernel.
void Rendezvous::publish_changes(TimePoint now) {
  bool look = now >= look_at_hosts_;
  if (outside_.look(now)) {
    look = true;
    if (!outside_.flaw().empty()) lines_.warn(outside_.flaw(), now);
    if (party_) party_->set_outside(outside_.ports());
  }
  if (party_ && party_->take_answers()) look = true;
  if (look) {
    look_at_hosts_ = now + kHostLook;
    publish(candidates(), now);
  }
  if (!party_) return;
  for (const std::string& role : party_->take_changed()) tell_observer(role);
  for (const std::string& role : party_->take_wishes(now)) {
    const auto key = met_.find(role);
    if (key == met_.end()) continue;
    for (Relay& relay : relays_) {
      if (!relay.registered) continue;
      relay.link->reintroduce({key->second, role}, now);
      break;
    }
  }
}

// ---- For people.

std::vector<PathRung> Rendezvous::rungs_to(const std::string& role) const {
  std::vector<PathRung> rungs;
  if (const auto dialled = direct_.find(role); dialled != direct_.end()) {
    for (const DirectPeer& place : dialled->second) {
      rungs.push_back({.kind = "announced",
                       .at = fmt::format("{}:{}", place.at.host, place.at.port),
                       .outcome = place.outcome,
                       .works = !place.open.empty()});
    }
  }
  if (party_) std::ranges::move(party_->rungs(role), std::back_inserter(rungs));
  return rungs;
}

// With a path through a relay, why there is no better one.
void Rendezvous::renew_note() {
  std::string all;
  for (const auto& [peer, way] : ways_) {
    const auto name = names_.find(peer);
    const auto role = roles_.find(peer);
    std::string note = fmt::format("{}: {} ({})", name == names_.end() ? "client" : name->second,
                                   way.path, way.why);
    if (way.path.starts_with("socks5://") && role != roles_.end()) {
      const std::string failures = failures_text(rungs_to(role->second));
      if (!failures.empty()) note += ", not directly: " + failures;
    }
    all += (all.empty() ? "" : "; ") + note;
  }
  all.resize(std::min(all.size(), kMaxNoteChars));
  for (Relay& relay : relays_) relay.link->set_note(all);
}

void Rendezvous::tell_observer(const std::string& role) {
  renew_note();
  if (!options_.observer) return;
  const auto met = met_.find(role);
  options_.observer({.role = role,
                     .key = met == met_.end() ? "" : to_hex(met->second),
                     .nat = std::string(name_of(party_->mapping())),
                     .rungs = rungs_to(role)});
}

}  // namespace ptrain::net
