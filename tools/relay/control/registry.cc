#include "tools/relay/control/registry.h"

#include <algorithm>
#include <utility>

#include "libcommon/net/relay_codec.h"
#include "tools/relay/control/quota_address.h"

namespace ptrain::relay {
namespace {

// Of a page, what one that is gone takes: two keys, a role, and what Cap'n Proto adds.
constexpr std::size_t kGoneBytes = 160;

net::Place place_of(const net::PeerRecord& record) {
  return {.peer_key = record.peer_key, .role = record.role};
}

std::size_t size_of(const net::SignedRecord& record) {
  return record.record.size() + record.signature.size();
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
  if (is_revoked(opened.run_key, opened.peer_key)) return net::Refusal::revoked;
  Registration* member = find_mutable(opened.run_key, who);
  const bool known = member != nullptr;
  Room room{.found = true};
  if (known) {
    const bool same = member->sequence == opened.sequence && member->record == record;
    if (!same && opened.sequence <= member->sequence) return net::Refusal::outdated;
  } else {
    room = room_for(who, host);
    if (!room.found) return net::Refusal::full;
  }
  Enrolment enrolment{.changed = !known || member->record != record};
  if (room.in_place_of) {
    enrolment.displaced = remove(room.in_place_of->run_key, room.in_place_of->place);
  }
  enrolment.change = observe(opened.run_key, who, [&] {
    if (!known) {
      member = &insert(opened.run_key, who, host);
      member->registered = now;
    }
    member->record = record;
  });
  member->sequence = opened.sequence;
  member->connection = connection;
  member->cut_off = false;
  if (member->host != host) {
    uncount(opened.run_key, who, member->host);
    count(opened.run_key, who, host);
    member->host = host;
  }
  set_expiry(opened.run_key, who, *member, now + limits_.lease);
  ++changes_;
  if (enrolment.changed) journal_.came({opened.run_key, who});
  enrolment.version = version(opened.run_key);
  return enrolment;
}

void Registry::restore(const net::PeerRecord& opened, const net::SignedRecord& record,
                       const std::string& host, TimePoint expires, TimePoint now) {
  const net::Place who = place_of(opened);
  if (find(opened.run_key, who) != nullptr || members_ >= limits_.members) return;
  if (is_revoked(opened.run_key, opened.peer_key)) return;
  Registration& member = insert(opened.run_key, who, host);
  member.record = record;
  member.sequence = opened.sequence;
  member.registered = now;
  set_expiry(opened.run_key, who, member, std::min(expires, now + limits_.lease));
  bump(runs_[opened.run_key]);
  journal_.came({opened.run_key, who});
}

// ---- Whom an issuer has taken out of its run.

bool Registry::is_revoked(const VerifyKey& run_key, const net::PublicKey& peer) const {
  const auto run = revoked_.find(run_key);
  return run != revoked_.end() && run->second.contains(peer);
}

const Signature* Registry::revocation_of(const VerifyKey& run_key,
                                         const net::PublicKey& peer) const {
  const auto run = revoked_.find(run_key);
  if (run == revoked_.end()) return nullptr;
  const auto revoked = run->second.find(peer);
  return revoked == run->second.end() ? nullptr : &revoked->second;
}

bool Registry::revoke(const net::Revocation& revocation, std::vector<Departure>& departures) {
  const VerifyKey& run_key = revocation.run_key;
  const net::PublicKey& peer = revocation.peer_key;
  if (is_revoked(run_key, peer) || !has_room_for_revocation(run_key)) return false;
  revoked_[run_key].emplace(peer, revocation.signature);
  ++revocations_;
  ++changes_;
  // Neighbours are told of it as of a member without a role.
  journal_.came({run_key, {.peer_key = peer, .role = {}}});
  const auto run = runs_.find(run_key);
  if (run == runs_.end()) return true;
  std::vector<net::Place> here;
  std::vector<net::Place> elsewhere;
  const auto collect = [&](const auto& places, std::vector<net::Place>& found) {
    for (auto at = places.lower_bound({.peer_key = peer, .role = {}});
         at != places.end() && at->first.peer_key == peer; ++at) {
      found.push_back(at->first);
    }
  };
  collect(run->second.members, here);
  collect(run->second.elsewhere, elsewhere);
  for (const net::Place& who : elsewhere) {
    Departure departure{.run_key = run_key, .who = who};
    departure.change = observe(run_key, who, [&] {
      Run& of = runs_.at(run_key);
      reflections_ -= of.elsewhere.at(who).size();
      of.elsewhere.erase(who);
    });
    departures.push_back(std::move(departure));
  }
  for (const net::Place& who : here) {
    departures.push_back(*remove(run_key, who));
    claims_.release(run_key, who);
  }
  return true;
}

bool Registry::has_room_for_revocation(const VerifyKey& run_key) {
  const auto of_run = revoked_.find(run_key);
  if (of_run != revoked_.end() && of_run->second.size() >= kMaxRevocationsOfRun) return false;
  if (revocations_ < kMaxRevocations) return true;
  const auto idle = std::ranges::find_if(
      revoked_, [&](const auto& entry) { return !runs_.contains(entry.first); });
  if (idle == revoked_.end() || idle->first == run_key) return false;
  revocations_ -= idle->second.size();
  for (const auto& [peer, signature] : idle->second) {
    journal_.went({idle->first, {.peer_key = peer, .role = {}}});
  }
  revoked_.erase(idle);
  return true;
}

void Registry::for_each_revocation(const std::function<void(const net::Revocation&)>& visit) const {
  for (const auto& [run_key, peers] : revoked_) {
    for (const auto& [peer, signature] : peers) {
      visit({.run_key = run_key, .peer_key = peer, .signature = signature});
    }
  }
}

// ---- What neighbours say.

std::optional<Change> Registry::mirror(const net::PublicKey& neighbour,
                                       const net::PeerRecord& opened,
                                       const net::SignedRecord& record) {
  const net::Place who = place_of(opened);
  if (is_revoked(opened.run_key, opened.peer_key)) return std::nullopt;
  return observe(opened.run_key, who, [&] {
    Reflections& reflections = runs_[opened.run_key].elsewhere[who];
    const auto [entry, added] = reflections.insert_or_assign(
        neighbour, Reflection{.record = record, .sequence = opened.sequence});
    if (added) ++reflections_;
  });
}

std::optional<Departure> Registry::unmirror(const net::PublicKey& neighbour,
                                            const VerifyKey& run_key, const net::Place& who) {
  const auto run = runs_.find(run_key);
  if (run == runs_.end()) return std::nullopt;
  const auto place = run->second.elsewhere.find(who);
  if (place == run->second.elsewhere.end() || !place->second.contains(neighbour)) {
    return std::nullopt;
  }
  Departure departure{.run_key = run_key, .who = who};
  departure.change = observe(run_key, who, [&] {
    --reflections_;
    place->second.erase(neighbour);
    if (place->second.empty()) run->second.elsewhere.erase(place);
  });
  departure.elsewhere = is_anywhere(run_key, who);
  return departure;
}

std::vector<Change> Registry::set_silent(const net::PublicKey& neighbour, bool silent) {
  std::vector<Change> changes;
  if (silent_.contains(neighbour) == silent) return changes;
  std::vector<std::pair<Member, std::optional<net::SignedRecord>>> before;
  for (const auto& [run_key, run] : runs_) {
    for (const auto& [who, reflections] : run.elsewhere) {
      if (!reflections.contains(neighbour)) continue;
      const net::SignedRecord* record = seen(run, who);
      before.emplace_back(Member{run_key, who}, record ? std::optional(*record) : std::nullopt);
    }
  }
  if (silent) {
    silent_.insert(neighbour);
  } else {
    silent_.erase(neighbour);
  }
  for (const auto& [member, earlier] : before) {
    Run& run = runs_.at(member.run_key);
    const net::SignedRecord* record = seen(run, member.place);
    const auto now = record ? std::optional(*record) : std::nullopt;
    if (now == earlier) continue;
    changes.push_back(
        {.run_key = member.run_key, .who = member.place, .version = bump(run), .record = now});
  }
  return changes;
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

const net::SignedRecord* Registry::newest(const Reflections& reflections) const {
  const Reflection* best = nullptr;
  for (const auto& [neighbour, reflection] : reflections) {
    if (silent_.contains(neighbour)) continue;
    if (best == nullptr || reflection.sequence > best->sequence) best = &reflection;
  }
  return best == nullptr ? nullptr : &best->record;
}

const net::SignedRecord* Registry::seen(const Run& run, const net::Place& who) const {
  const auto here = run.members.find(who);
  if (here != run.members.end()) return &here->second.record;
  const auto elsewhere = run.elsewhere.find(who);
  return elsewhere == run.elsewhere.end() ? nullptr : newest(elsewhere->second);
}

const net::SignedRecord* Registry::record_of(const VerifyKey& run_key,
                                             const net::Place& who) const {
  const auto run = runs_.find(run_key);
  return run == runs_.end() ? nullptr : seen(run->second, who);
}

std::vector<net::PublicKey> Registry::neighbours_with(const VerifyKey& run_key,
                                                      const net::Place& who) const {
  std::vector<net::PublicKey> neighbours;
  const auto run = runs_.find(run_key);
  if (run == runs_.end()) return neighbours;
  const auto elsewhere = run->second.elsewhere.find(who);
  if (elsewhere == run->second.elsewhere.end()) return neighbours;
  for (const auto& [neighbour, reflection] : elsewhere->second) neighbours.push_back(neighbour);
  return neighbours;
}

bool Registry::is_anywhere(const VerifyKey& run_key, const net::Place& who) const {
  const auto run = runs_.find(run_key);
  return run != runs_.end() &&
         (run->second.members.contains(who) || run->second.elsewhere.contains(who));
}

template <class Edit>
std::optional<Change> Registry::observe(const VerifyKey& run_key, const net::Place& who,
                                        Edit edit) {
  const auto record = [&] {
    const net::SignedRecord* now = record_of(run_key, who);
    return now == nullptr ? std::nullopt : std::optional(*now);
  };
  const auto before = record();
  edit();
  auto after = record();
  std::optional<Change> change;
  Run& run = runs_.at(run_key);
  if (after != before) {
    change = {.run_key = run_key, .who = who, .version = bump(run), .record = std::move(after)};
  }
  if (run.members.empty() && run.elsewhere.empty()) runs_.erase(run_key);
  return change;
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
  Registration* member = find_mutable(run_key, who);
  if (member == nullptr) return;
  member->connection = from;
  member->cut_off = false;
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
  uncount(run_key, who, member->second.host);
  count_down(per_key_, who.peer_key);
  --members_;
  ++changes_;
  journal_.went({run_key, who});
  Departure departure{.run_key = run_key, .who = who, .host = member->second.host};
  departure.change = observe(run_key, who, [&] { run->second.members.erase(member); });
  departure.elsewhere = is_anywhere(run_key, who);
  return departure;
}

void Registry::forget(const std::set<ConnectionId>& connections) {
  for (auto& [key, run] : runs_) {
    for (auto& [who, member] : run.members) {
      if (!connections.contains(member.connection)) continue;
      member.connection.clear();
      member.cut_off = true;
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
  const auto& [members, elsewhere, version] = run->second;
  auto here = members.upper_bound(after);
  auto far = elsewhere.upper_bound(after);
  std::size_t bytes = 0;
  while (here != members.end() || far != elsewhere.end()) {
    const bool is_here =
        here != members.end() && (far == elsewhere.end() || here->first <= far->first);
    const net::Place& who = is_here ? here->first : far->first;
    const net::SignedRecord* record = is_here ? &here->second.record : newest(far->second);
    if (record != nullptr && (role.empty() || who.role == role)) {
      if (!page.records.empty() && bytes + size_of(*record) > max_bytes) {
        page.complete = false;
        break;
      }
      bytes += size_of(*record);
      page.records.push_back(*record);
    }
    if (is_here && far != elsewhere.end() && far->first == who) ++far;
    if (is_here) {
      ++here;
    } else {
      ++far;
    }
  }
  return page;
}

net::answer::Mirrored Registry::changes_since(const net::request::Mirror& asked,
                                              std::size_t max_bytes) const {
  // Who reads the list from its beginning cannot have missed what ended before that.
  const std::uint64_t since = asked.since;
  const bool afresh = since == 0 || !journal_.covers(std::max(since, asked.listing));
  net::answer::Mirrored page{.afresh = afresh,
                             .records = {},
                             .gone = {},
                             .up_to = journal_.latest(),
                             .complete = true,
                             .latest = journal_.latest()};
  std::uint64_t at = afresh ? 0 : since;
  std::size_t bytes = 0;
  for (auto entry = journal_.after(at); entry != journal_.end(); ++entry) {
    const auto& [run_key, who] = entry->second.member;
    const Registration* member = entry->second.gone ? nullptr : find(run_key, who);
    const Signature* revoked =
        who.role.empty() && !entry->second.gone ? revocation_of(run_key, who.peer_key) : nullptr;
    const std::size_t size = member != nullptr ? size_of(member->record) : kGoneBytes;
    if (bytes > 0 && (bytes + size > max_bytes || page.gone.size() == net::kMaxGonePerPage ||
                      page.records.size() == net::kMaxRecordsPerPage ||
                      page.revocations.size() == net::kMaxRevocationsPerPage)) {
      page.complete = false;
      page.up_to = at;
      break;
    }
    at = entry->first;
    if (member != nullptr) {
      page.records.push_back(member->record);
    } else if (revoked != nullptr) {
      page.revocations.push_back({run_key, who.peer_key, *revoked});
    } else if (!page.afresh && !who.role.empty()) {
      page.gone.push_back({run_key, who});
    } else {
      continue;
    }
    bytes += size;
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

void Registry::for_each_elsewhere(const VisitFar& visit) const {
  for (const auto& [key, run] : runs_) {
    for (const auto& [who, reflections] : run.elsewhere) {
      if (!run.members.contains(who)) visit(key, who, reflections);
    }
  }
}

// ---- Whether there is room, and for whom.

Registry::Room Registry::room_for(const net::Place& who, const std::string& host) const {
  if (counted(per_key_, who.peer_key) >= kMaxPlacesPerKey) return {};
  const std::string address = quota_address(host);
  if (per_address_.counted(address) >= limits_.members_per_host) {
    auto gives_way = least_missed(address, who.peer_key, false);
    return {.found = gives_way.has_value(), .in_place_of = std::move(gives_way)};
  }
  if (members_ < limits_.members) return {.found = true};
  const auto largest = per_address_.gives_way_to(address);
  if (!largest) return {};
  auto gives_way = least_missed(*largest, who.peer_key, true);
  return {.found = gives_way.has_value(), .in_place_of = std::move(gives_way)};
}

std::optional<Member> Registry::least_missed(const std::string& address,
                                             const net::PublicKey& newcomer,
                                             bool at_any_price) const {
  const PlacesAt& places = at_address_.at(address);
  const std::set<Member>* most = nullptr;
  for (const auto& [key, of_key] : places) {
    for (const Member& member : of_key) {
      // Whoever it was has gone, or comes back when there is room.
      const Registration* registration = find(member.run_key, member.place);
      if (registration->connection.empty()) return member;
    }
    if (most == nullptr || of_key.size() > most->size()) most = &of_key;
  }
  const auto own = places.find(newcomer);
  const std::size_t held = own == places.end() ? 0 : own->second.size();
  if (most == nullptr || (!at_any_price && most->size() <= held + 1)) return std::nullopt;
  return *std::ranges::max_element(*most, {}, [&](const Member& member) {
    return find(member.run_key, member.place)->registered;
  });
}

void Registry::count(const VerifyKey& run_key, const net::Place& who, const std::string& host) {
  const std::string address = quota_address(host);
  per_address_.add(address);
  at_address_[address][who.peer_key].insert({run_key, who});
}

void Registry::uncount(const VerifyKey& run_key, const net::Place& who, const std::string& host) {
  const std::string address = quota_address(host);
  per_address_.remove(address);
  const auto at = at_address_.find(address);
  const auto of_key = at->second.find(who.peer_key);
  of_key->second.erase({run_key, who});
  if (of_key->second.empty()) at->second.erase(of_key);
  if (at->second.empty()) at_address_.erase(at);
}

Registration& Registry::insert(const VerifyKey& run_key, const net::Place& who,
                               const std::string& host) {
  Registration& member = runs_[run_key].members[who];
  member.host = host;
  count(run_key, who, host);
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
