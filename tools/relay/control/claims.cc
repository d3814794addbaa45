#include "tools/relay/control/claims.h"

#include <algorithm>
#include <chrono>
#include <iterator>

namespace ptrain::relay {
namespace {

std::uint64_t milliseconds_in(Duration duration) {
  const auto ms = std::chrono::ceil<std::chrono::milliseconds>(duration).count();
  return static_cast<std::uint64_t>(std::max<std::int64_t>(ms, 0));
}

}  // namespace

void Claims::begin(std::uint64_t floor, TimePoint quiet_until, TimePoint now) {
  floor_ = floor;
  quiet_until_ = quiet_until;
  begun_ = now;
}

std::uint64_t Claims::floor_at(TimePoint now) const {
  return floor_ + milliseconds_in(now - begun_);
}

std::variant<net::answer::Claimed, ClaimFlaw> Claims::claim(const net::request::Claim& wanted,
                                                            const Claimant& by, Duration longest,
                                                            TimePoint now) {
  if (wanted.number > floor_at(now) + milliseconds_in(kMostAhead)) return ClaimFlaw::ahead;
  const Name name{wanted.as.run_key, wanted.name};
  Entry entry = claims_.find(name);
  if (entry == claims_.end()) {
    if (!make_room(name, by.address, now)) return ClaimFlaw::full;
    Held none;
    none.number = std::max(floor_, forgotten_);
    none.address = by.address;
    entry = claims_.emplace(name, none).first;
    index(entry);
  }
  const Held held = entry->second;
  const std::uint64_t largest = std::max(held.number, floor_);
  const bool taken = held.until > now;
  const bool ours = taken && held.holder == by.who;
  const bool prolonged = ours && (wanted.number == held.number || wanted.number == 0);
  const std::uint64_t number = prolonged            ? held.number
                               : wanted.number == 0 ? largest + 1
                                                    : wanted.number;
  const Duration wish = std::chrono::milliseconds(wanted.hold_ms);
  const bool fresh = (!taken || ours) && !prolonged && number > largest &&
                     wish > Duration::zero() && now >= quiet_until_;
  net::answer::Claimed answer{
      .granted = prolonged || fresh, .number = largest, .holder = {}, .hold_ms = 0};
  if (fresh && !ours && held_by(by.who.peer_key, now) >= limits_.of_key) return ClaimFlaw::full;
  if (answer.granted) {
    if (fresh || wish <= Duration::zero()) ++changes_;
    set(entry, {.number = number,
                .holder = by.who,
                .address = by.address,
                .until = now + std::min(wish, longest)});
    answer.number = number;
  }
  const Held& latest = entry->second;
  if (latest.until > now) answer.holder = latest.holder;
  const TimePoint free = std::max(latest.until, answer.granted ? TimePoint{} : quiet_until_);
  if (free > now) answer.hold_ms = static_cast<std::uint32_t>(milliseconds_in(free - now));
  return answer;
}

void Claims::release(const VerifyKey& run_key, const net::Place& who) {
  for (Entry entry = claims_.lower_bound({run_key, ""});
       entry != claims_.end() && entry->first.first == run_key; ++entry) {
    if (entry->second.holder != who || entry->second.until == TimePoint{}) continue;
    Held held = entry->second;
    held.until = TimePoint{};
    set(entry, std::move(held));
    ++changes_;
  }
}

void Claims::restore(const VerifyKey& run_key, const std::string& name, Held held) {
  if (claims_.size() >= limits_.claims || claims_.contains({run_key, name})) return;
  index(claims_.emplace(Name{run_key, name}, std::move(held)).first);
}

void Claims::for_each(const Visit& visit) const {
  for (const auto& [name, held] : claims_) visit(name.first, name.second, held);
}

std::size_t Claims::held_by(const net::PublicKey& key, TimePoint now) const {
  const auto found = of_key_.find(key);
  if (found == of_key_.end()) return 0;
  const auto living =
      std::ranges::count_if(found->second, [now](const auto& each) { return each.first > now; });
  return static_cast<std::size_t>(living);
}

bool Claims::make_room(const Name& name, const std::string& address, TimePoint now) {
  const Entry first = claims_.lower_bound({name.first, ""});
  std::size_t of_run = 0;
  Entry idlest = claims_.end();
  for (Entry entry = first; entry != claims_.end() && entry->first.first == name.first; ++entry) {
    ++of_run;
    if (idlest == claims_.end() || entry->second.until < idlest->second.until) idlest = entry;
  }
  if (of_run >= limits_.of_run) {
    if (idlest->second.until > now) return false;
    forget(idlest, now);
  }
  if (claims_.size() < limits_.claims) return true;
  const auto crowd = shares_.gives_way_to(address);
  if (!crowd) return false;
  forget(claims_.find(of_address_.at(*crowd).begin()->second), now);
  return true;
}

// Members are honest about numbers, or it is their own run's loss: those of others are not ahead.
void Claims::forget(Entry entry, TimePoint now) {
  forgotten_ = std::max(forgotten_, floor_at(now));
  unindex(entry);
  claims_.erase(entry);
}

void Claims::set(Entry entry, Held held) {
  unindex(entry);
  entry->second = std::move(held);
  index(entry);
}

void Claims::index(Entry entry) {
  const auto& [name, held] = *entry;
  of_key_[held.holder.peer_key].emplace(held.until, name);
  of_address_[held.address].emplace(held.until, name);
  shares_.add(held.address);
}

void Claims::unindex(Entry entry) {
  const Held& held = entry->second;
  const auto leave = [end = std::pair(held.until, entry->first)](auto& of, const auto& whose) {
    const auto found = of.find(whose);
    found->second.erase(end);
    if (found->second.empty()) of.erase(found);
  };
  leave(of_key_, held.holder.peer_key);
  leave(of_address_, held.address);
  shares_.remove(held.address);
}

}  // namespace ptrain::relay
