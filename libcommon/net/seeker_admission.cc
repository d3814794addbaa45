#include "libcommon/net/seeker_admission.h"

#include <algorithm>
#include <utility>

namespace ptrain::net {

SeekerAdmission::SeekerAdmission(std::string roles, PeerHandle before, std::size_t most)
    : roles_(std::move(roles)), before_(before), most_(most) {}

WorkerId SeekerAdmission::id_of(PeerHandle peer) const {
  const std::uint64_t place = peer.value() - before_.value() - 1;
  if (place >= found_.size()) return {};
  const auto known = keys_.find(found_[place]);
  return {known == keys_.end() ? std::nullopt : std::optional(known->second), found_[place]};
}

std::optional<Tie> SeekerAdmission::tie_to(std::string_view role) {
  if (!role.starts_with(roles_)) return std::nullopt;
  auto found = std::ranges::find(found_, role);
  if (found == found_.end()) {
    if (found_.size() == most_) return std::nullopt;
    found = found_.emplace(found_.end(), role);
  }
  const auto place = static_cast<std::uint64_t>(found - found_.begin());
  return Tie{.we_dial = true, .peer = PeerHandle(before_.value() + 1 + place)};
}

// Who has a role keeps it: another host draws another one.
bool SeekerAdmission::admit(std::string_view role, const PublicKey& key) {
  if (barred_.contains(key)) return false;
  return keys_.emplace(role, key).first->second == key;
}

bool SeekerAdmission::has_key(std::string_view role, const PublicKey& key) const {
  const auto known = keys_.find(role);
  return known != keys_.end() && known->second == key;
}

}  // namespace ptrain::net
