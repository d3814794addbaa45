// Who of those that we have met has gone, and is forgotten: members that no relay has any more, and
// those that the issuer has taken out.

#include <algorithm>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "libcommon/net/rendezvous.h"

namespace ptrain::net {
namespace {

// Where a path is open still.
constexpr Duration kForgetAgain = std::chrono::seconds(10);

}  // namespace

void Rendezvous::follow_roll(TimePoint now) {
  for (const auto& [member, there] : roll_.take_news(now)) {
    if (there) {
      outer_->member_seen(member);
    } else {
      outer_->member_gone(member);
    }
    if (!there && company_.has_key(member.name, *member.key)) departed_.try_emplace(member, now);
  }
}

void Rendezvous::on(std::size_t, const membership::Revoked& revoked, TimePoint now) {
  if (!revoked_.insert(revoked.peer).second) return;
  lines_.warn(fmt::format("the run's issuer has taken the host with key {} out of the run",
                          to_hex(revoked.peer)),
              now);
  for (const PeerHandle peer : company_.bar(revoked.peer)) outer_->peer_is_barred(peer);
  std::vector<std::string> roles;
  for (const auto& [role, key] : met_) {
    if (key == revoked.peer) roles.push_back(role);
  }
  for (const std::string& role : roles) forget(role, now);
  std::erase_if(acquaintances_, [&](auto& entry) {
    if (entry.second.key != revoked.peer) return false;
    for (auto& source : entry.second.sources) retire(*source, now);
    return true;
  });
}

void Rendezvous::forget(const std::string& role, TimePoint now) {
  std::erase_if(acquaintances_, [&](auto& entry) {
    if (entry.first.second != role) return false;
    for (auto& source : entry.second.sources) retire(*source, now);
    return true;
  });
  for (DirectPeer& place : direct_[role]) {
    for (auto& source : place.sources) retire(*source, now);
  }
  direct_.erase(role);
  if (party_) party_->forget(role, [&](PathSource& source) { retire(source, now); });
  dialled_.erase(role);
  words_.erase(role);
  vouched_.erase(role);
  cuts_.erase(role);
  met_.erase(role);
  for (auto known = roles_.begin(); known != roles_.end();) {
    if (known->second != role) {
      ++known;
      continue;
    }
    names_.erase(known->first);
    known = roles_.erase(known);
  }
}

// Of guests, who come and go for months, nothing stays but what a path still needs.
void Rendezvous::forget_departed(TimePoint now) {
  for (auto entry = departed_.begin(); entry != departed_.end();) {
    auto& [member, when] = *entry;
    const auto met = met_.find(member.name);
    const bool ours =
        met != met_.end() && met->second == member.key;  // and no other's of that name
    const bool there = roll_.has(member);
    if (!there && now < when) {
      ++entry;
    } else if (!there && ((ours && has_path_to(member.name)) ||
                          !company_.departed(member.name, *member.key))) {
      when = now + kForgetAgain;
      ++entry;
    } else {
      if (!there && ours) forget(member.name, now);
      entry = departed_.erase(entry);
    }
  }
}

bool Rendezvous::has_path_to(const std::string& role) const {
  if (party_ && party_->has_path_to(role)) return true;
  const auto is_open = [&](const auto& source) {
    return std::ranges::any_of(open_,
                               [&](const auto& path) { return path.second == source.get(); });
  };
  return std::ranges::any_of(acquaintances_, [&](const auto& entry) {
    return entry.first.second == role && std::ranges::any_of(entry.second.sources, is_open);
  });
}

}  // namespace ptrain::net
