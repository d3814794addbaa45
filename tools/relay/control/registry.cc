#include "tools/relay/control/registry.h"

#include <algorithm>

namespace ptrain::relay {
namespace {

net::Place place_of(const net::PeerRecord& record) {
  return {.peer_key = record.peer_key, .role = record.role};
}

template <class Map, class Key>
void count_down(Map& map, const Key& key) {
  const auto entry = map.find(key);
  if (--entry->second == 0) map.erase(entry);
}

template <class Map, class Key>
std::size_t counted(const Map& map, const Key& key) {
  const auto entry = map.find(key);
  return entry == map.end() ? 0 : entry->second;
}

}  // namespace

std::variant<Enrolment, net::Refusal> Registry::enrol(const net::PeerRecord& opened,
                                                      const net::SignedRecord& record,
                                                      const ConnectionId& connection,
                                                      const std::string& host, TimePoint now) {
  const net::Place who = place_of(opened);
  Registration* member = find_mutable(opened.run_key, who);
  const bool known = member != nullptr;
  if (known) {
    const bool same = member->sequence == opened.sequence && member->record == record;
    if (!same && opened.sequence <= member->sequence) return net::Refusal::outdated;
  } else {
    if (!has_room(who, host)) return net::Refusal::full;
    member = &insert(opened.run_key, who, host);
    member->registered = now;
  }
  const bool changed = !known || member->record != record;
  member->record = record;
  member->sequence = opened.sequence;
  member->connection = connection;
  if (member->host != host) {
    count_down(per_host_, member->host);
    ++per_host_[host];
    member->host = host;
  }
  set_expiry(opened.run_key, who, *member, now + limits_.lease);
  ++changes_;
  Run& run = runs_[opened.run_key];
  return Enrolment{.changed = changed, .version = changed ? bump(run) : run.version};
}

void Registry::restore(const net::PeerRecord& opened, const net::SignedRecord& record,
                       const std::string& host, TimePoint expires, TimePoint now) {
  const net::Place who = place_of(opened);
  if (find(opened.run_key, who) != nullptr || members_ >= limits_.members) return;
  Registration& member = insert(opened.run_key, who, host);
  member.record = record;
  member.sequence = opened.sequence;
  member.registered = now;
  set_expiry(opened.run_key, who, member, std::min(expires, now + limits_.lease));
  bump(runs_[opened.run_key]);
}

const Registration* Registry::find(const VerifyKey& run_key, const net::Place& who) const {
  const auto run = runs_.find(run_key);
  if (run == runs_.end()) return nullptr;
  const auto member = run->second.members.find(who);
  return member == run->second.members.end() ? nullptr : &member->second;
}

Registration* Registry::find_mutable(const VerifyKey& run_key, const net::Place& who) {
  return const_cast<Registration*>(find(run_key, who));
}

std::uint64_t Registry::version(const VerifyKey& run_key) const {
  const auto run = runs_.find(run_key);
  return run == runs_.end() ? 0 : run->second.version;
}

void Registry::renew(const VerifyKey& run_key, const net::Place& who, const std::string& note,
                     TimePoint now) {
  Registration* member = find_mutable(run_key, who);
  if (member == nullptr) return;
  member->note = note;
  set_expiry(run_key, who, *member, now + limits_.lease);
}

void Registry::heard(const VerifyKey& run_key, const net::Place& who, const ConnectionId& from) {
  if (Registration* member = find_mutable(run_key, who)) member->connection = from;
}

void Registry::watch(const VerifyKey& run_key, const net::Place& who, bool on) {
  if (Registration* member = find_mutable(run_key, who)) member->watching = on;
}

std::optional<Departure> Registry::remove(const VerifyKey& run_key, const net::Place& who) {
  const auto run = runs_.find(run_key);
  if (run == runs_.end()) return std::nullopt;
  const auto member = run->second.members.find(who);
  if (member == run->second.members.end()) return std::nullopt;
  leases_.erase({member->second.expires, run_key, who});
  count_down(per_host_, member->second.host);
  count_down(per_key_, who.peer_key);
  const Departure departure{.run_key = run_key, .who = who, .version = bump(run->second)};
  run->second.members.erase(member);
  if (run->second.members.empty()) runs_.erase(run);
  --members_;
  ++changes_;
  return departure;
}

void Registry::forget(const ConnectionId& connection) {
  for (auto& [key, run] : runs_) {
    for (auto& [who, member] : run.members) {
      if (member.connection == connection) member.connection.clear();
    }
  }
}

std::vector<Departure> Registry::expire(TimePoint now) {
  std::vector<Departure> departures;
  while (!leases_.empty() && std::get<0>(*leases_.begin()) <= now) {
    const auto [expires, run_key, who] = *leases_.begin();
    departures.push_back(*remove(run_key, who));
  }
  return departures;
}

std::optional<TimePoint> Registry::next_expiry() const {
  return leases_.empty() ? std::nullopt : std::optional(std::get<0>(*leases_.begin()));
}

Page Registry::page(const VerifyKey& run_key, const std::string& role, const net::Place& after,
                    std::size_t max_bytes) const {
  Page page;
  const auto run = runs_.find(run_key);
  if (run == runs_.end()) return page;
  page.version = run->second.version;
  std::size_t bytes = 0;
  for (auto entry = run->second.members.upper_bound(after); entry != run->second.members.end();
       ++entry) {
    if (!role.empty() && entry->first.role != role) continue;
    const net::SignedRecord& record = entry->second.record;
    const std::size_t size = record.record.size() + record.signature.size();
    if (!page.records.empty() && bytes + size > max_bytes) {
      page.complete = false;
      break;
    }
    bytes += size;
    page.records.push_back(record);
  }
  return page;
}

void Registry::for_each(const Visit& visit) const {
  for (const auto& [key, run] : runs_) {
    for (const auto& [who, member] : run.members) visit(key, who, member);
  }
}

void Registry::for_each_of(const VerifyKey& run_key, const Visit& visit) const {
  const auto run = runs_.find(run_key);
  if (run == runs_.end()) return;
  for (const auto& [who, member] : run->second.members) visit(run_key, who, member);
}

bool Registry::has_room(const net::Place& who, const std::string& host) const {
  return members_ < limits_.members && counted(per_host_, host) < limits_.members_per_host &&
         counted(per_key_, who.peer_key) < kMaxPlacesPerKey;
}

Registration& Registry::insert(const VerifyKey& run_key, const net::Place& who,
                               const std::string& host) {
  Registration& member = runs_[run_key].members[who];
  member.host = host;
  ++per_host_[host];
  ++per_key_[who.peer_key];
  ++members_;
  ++changes_;
  return member;
}

void Registry::set_expiry(const VerifyKey& run_key, const net::Place& who, Registration& member,
                          TimePoint expires) {
  leases_.erase({member.expires, run_key, who});
  member.expires = expires;
  leases_.insert({expires, run_key, who});
}

std::uint64_t Registry::bump(Run& run) {
  // A run that is new begins above all that were: it may have been here before.
  run.version = run.version == 0 ? highest_version_ + 1 : run.version + 1;
  highest_version_ = std::max(highest_version_, run.version);
  return run.version;
}

}  // namespace ptrain::relay
