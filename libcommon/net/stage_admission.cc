#include "libcommon/net/stage_admission.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include <fmt/format.h>

namespace ptrain::net {
namespace {

constexpr std::string_view kRolePrefix = "stage-";

}  // namespace

std::string role_of(StageIndex stage) { return fmt::format("{}{}", kRolePrefix, stage.value()); }

std::optional<StageIndex> stage_of_role(std::string_view role) {
  if (!role.starts_with(kRolePrefix)) return std::nullopt;
  role.remove_prefix(kRolePrefix.size());
  std::uint32_t number = 0;
  const auto [end, error] = std::from_chars(role.data(), role.data() + role.size(), number);
  if (error != std::errc() || end != role.data() + role.size()) return std::nullopt;
  return StageIndex(number);
}

StageAdmission::StageAdmission(std::map<StageIndex, std::optional<PublicKey>> stages, bool keyed)
    : keyed_(keyed), named_(!stages.empty()) {
  for (const auto& [stage, key] : stages) stages_[stage].key = key;
}

// ---- What relays tell.

void StageAdmission::meets(StageIndex self, std::set<StageIndex> peers) {
  self_ = self;
  peers_ = std::move(peers);
}

std::optional<Tie> StageAdmission::tie_to(std::string_view role) {
  const auto stage = stage_of_role(role);
  if (!stage || !peers_.contains(*stage)) return std::nullopt;
  return Tie{.we_dial = self_ > *stage, .peer = handle_of(*stage)};
}

std::set<std::string> StageAdmission::sought_roles() const {
  std::set<std::string> roles;
  for (const StageIndex peer : peers_) {
    if (self_ > peer) roles.insert(role_of(peer));
  }
  return roles;
}

std::vector<PeerHandle> StageAdmission::awaited() const {
  std::vector<PeerHandle> handles;
  for (const StageIndex peer : peers_) handles.push_back(handle_of(peer));
  return handles;
}

std::string StageAdmission::called(std::string_view role) const {
  const auto stage = stage_of_role(role);
  return stage ? fmt::format("stage {}", stage->value()) : std::string(role);
}

bool StageAdmission::admit(std::string_view role, const PublicKey& key) {
  const auto stage = stage_of_role(role);
  if (!stage) return false;
  Place& place = stages_[*stage];
  if (!place.met) place.key = key;
  if (place.key == key) return true;
  if (newcomers_.size() < kMaxNewcomers) newcomers_.insert(key);
  return false;
}

void StageAdmission::met(PeerHandle peer) {
  stages_[StageIndex(static_cast<std::uint32_t>(peer.value()))].met = true;
}

std::vector<PeerHandle> StageAdmission::bar(const PublicKey& key) {
  std::vector<PeerHandle> theirs;
  for (auto& [stage, place] : stages_) {
    if (place.key != key) continue;
    place = {};
    theirs.push_back(handle_of(stage));
  }
  newcomers_.erase(key);
  return theirs;
}

bool StageAdmission::has_key(std::string_view role, const PublicKey& key) const {
  const auto stage = stage_of_role(role);
  const auto known = stage ? stages_.find(*stage) : stages_.end();
  return known != stages_.end() && known->second.key == key;
}

// ---- Who comes.

bool StageAdmission::admits(const PublicKey& key) const {
  return newcomers_.contains(key) ||
         std::ranges::any_of(stages_, [&](const auto& entry) { return entry.second.key == key; });
}

std::string StageAdmission::remedy_for(const PublicKey& key) const {
  if (!named_) return "no stage that our relays have introduced has it";
  return fmt::format(
      "whichever stage has it, its endpoint here (--endpoints, --peer) must end in "
      "#{}",
      to_hex(key));
}

// What is wrong in a file of endpoints is told at once; what a relay has not introduced yet, or not
// to us, may be in a moment.
Rejection StageAdmission::wrong_key(StageIndex stage, const Place& place,
                                    const std::string& key) const {
  const std::string own = place.key ? to_hex(*place.key) : "not known yet";
  Rejection refusal{
      fmt::format("the key {} is not that of stage {}, which is {}", key, stage.value(), own)};
  if (named_) {
    refusal.answer = wire::Goodbye{
        .failed = true,
        .reason = fmt::format("its endpoint of stage {} (--endpoints, --peer) ends in #{}, not in "
                              "#{}; or --stage is another one's",
                              stage.value(), own, key)};
  } else if (place.met) {
    refusal.answer =
        wire::Goodbye{.failed = true,
                      .reason = fmt::format("another process is stage {}, and lives: its key is {}",
                                            stage.value(), own),
                      .retry = true};
  }
  return refusal;
}

Rejection StageAdmission::unknown(StageIndex stage) const {
  Rejection refusal{fmt::format("stage {}, which has no business with us", stage.value())};
  if (named_) {
    refusal.answer = wire::Goodbye{
        .failed = true,
        .reason = fmt::format("it does not expect stage {}: --stage must be right, and --endpoints "
                              "and --peer the same everywhere",
                              stage.value())};
  }
  return refusal;
}

Verdict StageAdmission::judge(const Caller& caller) {
  const StageIndex stage = caller.hello.stage;
  const auto known = stages_.find(stage);
  if (known == stages_.end()) {
    return unknown(stage);
  }
  Place& place = known->second;
  if (keyed_ && (!place.key || to_hex(*place.key) != caller.key)) {
    return wrong_key(stage, place, caller.key);
  }
  place.met = true;
  return handle_of(stage);
}

}  // namespace ptrain::net
