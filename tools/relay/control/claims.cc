#include "tools/relay/control/claims.h"

#include <algorithm>

namespace ptrain::relay {

std::optional<net::answer::Claimed> Claims::claim(const net::request::Claim& wanted,
                                                  const net::Place& who, Duration longest,
                                                  TimePoint now) {
  const Name name{wanted.as.run_key, wanted.name};
  auto found = claims_.find(name);
  if (found == claims_.end()) {
    if (!make_room(wanted.as.run_key, now)) return std::nullopt;
    found = claims_.emplace(name, Held{}).first;
  }
  Held& held = found->second;
  const bool taken = held.until > now;
  const bool ours = taken && held.holder == who;
  const bool prolonged = ours && wanted.number == held.number;
  const bool granted = prolonged || ((!taken || ours) && wanted.number > held.number);
  if (granted) {
    if (!prolonged) ++changes_;
    const Duration wish = std::chrono::milliseconds(wanted.hold_ms);
    held = {.number = wanted.number, .holder = who, .until = now + std::min(wish, longest)};
  }
  net::answer::Claimed answer{
      .granted = granted, .number = held.number, .holder = {}, .hold_ms = 0};
  if (held.until > now) {
    answer.holder = held.holder;
    answer.hold_ms = static_cast<std::uint32_t>(
        std::chrono::ceil<std::chrono::milliseconds>(held.until - now).count());
  }
  return answer;
}

void Claims::release(const VerifyKey& run_key, const net::Place& who) {
  for (auto entry = claims_.lower_bound({run_key, ""});
       entry != claims_.end() && entry->first.first == run_key; ++entry) {
    if (entry->second.holder == who) entry->second.until = TimePoint{};
  }
}

void Claims::restore(const VerifyKey& run_key, const std::string& name, std::uint64_t number) {
  if (claims_.size() >= max_claims_) return;
  Held& held = claims_[{run_key, name}];
  held.number = std::max(held.number, number);
}

void Claims::for_each(const Visit& visit) const {
  for (const auto& [name, held] : claims_) {
    if (held.number > 0) visit(name.first, name.second, held.number);
  }
}

bool Claims::make_room(const VerifyKey& run_key, TimePoint now) {
  const auto first = claims_.lower_bound({run_key, ""});
  const auto last = std::find_if(first, claims_.end(),
                                 [&](const auto& entry) { return entry.first.first != run_key; });
  if (static_cast<std::size_t>(std::distance(first, last)) >= kMaxClaimsOfRun) return false;
  if (claims_.size() < max_claims_) return true;
  const auto idlest =
      std::ranges::min_element(claims_, {}, [](const auto& entry) { return entry.second.until; });
  if (idlest->second.until > now) return false;
  claims_.erase(idlest);
  return true;
}

}  // namespace ptrain::relay
