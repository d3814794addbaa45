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

bool has_received(const wire::Hello& hello) {
  return hello.received.control.next != 0 || hello.received.bulk.next != 0;
}

}  // namespace

bool GuestAdmission::admits(const PublicKey& key) const {
  return !rules_.admitted || rules_.admitted->contains(key);
}

Verdict GuestAdmission::judge(const Caller& caller) {
  const wire::Hello& hello = caller.hello;
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
  const Guest guest{caller.key, hello.incarnation};
  if (const auto known = guests_.find(guest); known != guests_.end()) return known->second;
  // Without an answer, which would make it come again at once.
  if (ending_) return Rejection{"a new session, and this one is about to end"};
  if (has_received(hello)) return refusal("the session has ended here: begin another", true);
  if (auto full = bound_reached(caller)) return std::move(*full);
  return guests_.emplace(guest, PeerHandle(++handles_)).first->second;
}

std::optional<Rejection> GuestAdmission::bound_reached(const Caller& caller) const {
  if (guests_.size() >= rules_.max_guests) {
    return refusal(
        fmt::format("it serves {} clients already{}", guests_.size(), rules_.busy_answer), true);
  }
  if (caller.key.empty()) return std::nullopt;
  const auto same_key = static_cast<std::size_t>(std::ranges::count_if(
      guests_, [&](const auto& entry) { return entry.first.first == caller.key; }));
  if (same_key < kMaxGuestsOfOneKey) return std::nullopt;
  return refusal(fmt::format("it serves {} clients with this key already", same_key), true);
}

void GuestAdmission::left(PeerHandle peer) {
  std::erase_if(guests_, [peer](const auto& entry) { return entry.second == peer; });
}

}  // namespace ptrain::net
