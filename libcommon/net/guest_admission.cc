#include "libcommon/net/guest_admission.h"

#include <algorithm>

#include <fmt/format.h>

#include "libcommon/wire/envelope.h"

namespace ptrain::net {
namespace {

Rejection refusal(std::string why, bool retry) {
  wire::Goodbye answer{.failed = true, .reason = why.substr(0, wire::kMaxTextBytes)};
  answer.retry = retry;
  return {std::move(why), std::move(answer)};
}

}  // namespace

bool GuestAdmission::admits(const PublicKey& key) const {
  if (barred_.contains(key)) return false;
  return !rules_.admitted || rules_.admitted->contains(key) || members_.contains(key);
}

// ---- What relays tell.

std::optional<Tie> GuestAdmission::tie_to(std::string_view role) {
  if (rules_.member_roles.empty() || !role.starts_with(rules_.member_roles)) return std::nullopt;
  return Tie{};
}

bool GuestAdmission::admit(std::string_view role, const PublicKey& key) {
  if (barred_.contains(key)) return false;
  if (members_.size() >= kMostMembers && !members_.contains(key)) return false;
  auto& roles = members_[key];
  if (roles.size() < kMostRolesOfOneKey) roles.emplace(role);
  return roles.contains(role);
}

// The last role of a key stays while a guest with that key is here, or it could not come back.
bool GuestAdmission::departed(std::string_view role, const PublicKey& key) {
  const auto known = members_.find(key);
  if (known == members_.end()) return true;
  const auto same = known->second.find(role);
  if (same == known->second.end()) return true;
  const auto sits = [hex = to_hex(key)](const auto& entry) { return entry.first.first == hex; };
  if (known->second.size() == 1 && std::ranges::any_of(guests_, sits)) return false;
  known->second.erase(same);
  if (known->second.empty()) members_.erase(known);
  return true;
}

bool GuestAdmission::has_key(std::string_view, const PublicKey& key) const {
  return members_.contains(key);
}

std::vector<PeerHandle> GuestAdmission::bar(const PublicKey& key) {
  members_.erase(key);
  if (barred_.size() < kMostMembers) barred_.insert(key);
  std::vector<PeerHandle> here;
  for (const auto& [guest, seat] : guests_) {
    if (guest.first == to_hex(key)) here.push_back(seat.handle);
  }
  return here;
}

// ---- Who comes.

std::string GuestAdmission::remedy_for(const PublicKey& key) const {
  if (barred_.contains(key)) return "the run's issuer has taken it out";
  if (rules_.admitting_option.empty()) return "";
  return fmt::format("{} {} lets it in", rules_.admitting_option, to_hex(key));
}

Verdict GuestAdmission::judge(const Caller& caller) {
  const wire::Hello& hello = caller.hello;
  // It may have shaken hands before it was taken out.
  if (const auto key = parse_public_key(caller.key); key && barred_.contains(*key)) {
    return refusal("the run's issuer has taken it out", false);
  }
  if (hello.version != wire::kProtocolVersion) {
    return refusal(
        fmt::format("protocol version {}, ours is {}", hello.version, wire::kProtocolVersion),
        false);
  }
  const Introduction theirs{.run = hello.run,
                            .job_hash = hello.job_hash,
                            .stage_count = hello.stage_count,
                            .data_fingerprint = hello.data_fingerprint};
  if (auto difference = mismatch(rules_.introduction, theirs)) return refusal(*difference, false);
  if (hello.stage != rules_.place) {
    return refusal(fmt::format("it says that it is stage {}, and a client is stage {}",
                               hello.stage.value(), rules_.place.value()),
                   false);
  }
  const Guest guest{caller.key, hello.incarnation};
  if (const auto known = guests_.find(guest); known != guests_.end()) return known->second.handle;
  // Without an answer, which would make it come again at once.
  if (ending_) return Rejection{"a new session, and this one is about to end"};
  if (hello.to != 0) return refusal("the session has ended here: begin another", true);
  if (auto full = bound_reached(caller)) return std::move(*full);
  return guests_.emplace(guest, Seat{PeerHandle(++handles_), caller.address}).first->second.handle;
}

std::optional<Rejection> GuestAdmission::bound_reached(const Caller& caller) const {
  if (guests_.size() >= rules_.max_guests) {
    return refusal(
        fmt::format("it serves {} clients already{}", guests_.size(), rules_.busy_answer), true);
  }
  const auto same_key = static_cast<std::size_t>(std::ranges::count_if(
      guests_, [&](const auto& entry) { return entry.first.first == caller.key; }));
  if (!caller.key.empty() && same_key >= kMaxGuestsOfOneKey) {
    return refusal(fmt::format("it serves {} clients with this key already", same_key), true);
  }
  const auto same_address = static_cast<std::size_t>(std::ranges::count_if(
      guests_, [&](const auto& entry) { return entry.second.address == caller.address; }));
  if (!caller.address.empty() && same_address >= seats_of_one_address(rules_.max_guests)) {
    return refusal(fmt::format("it serves {} clients at {} already{}", same_address, caller.address,
                               rules_.busy_answer),
                   true);
  }
  return std::nullopt;
}

// A host may have several guests here: their names are the hub's.
WorkerId GuestAdmission::id_of(PeerHandle peer) const {
  const auto guest = std::ranges::find_if(
      guests_, [peer](const auto& entry) { return entry.second.handle == peer; });
  if (guest == guests_.end()) return {};
  return {parse_public_key(guest->first.first), ""};
}

void GuestAdmission::left(PeerHandle peer) {
  std::erase_if(guests_, [peer](const auto& entry) { return entry.second.handle == peer; });
}

}  // namespace ptrain::net
