#include "libcommon/net/relay_membership.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "libcommon/net/member_roll.h"

namespace ptrain::net {
namespace {

// For an answer: the first one, and at most, where queues hold seconds.
constexpr Duration kAnswerTimeout = std::chrono::seconds(3);
constexpr Duration kLongestAnswerTimeout = std::chrono::seconds(15);
constexpr int kAnswerTimes = 4;                       // what the last one took
constexpr Duration kRetry = std::chrono::seconds(1);  // where the relay names no other time
// Where somebody has to do something first.
constexpr Duration kSlowRetry = std::chrono::seconds(5);
constexpr int kRenewalsPerLease = 3;
// Of a claim; how soon again at most, of one that is given for moments.
constexpr Duration kLeastProlonging = std::chrono::milliseconds(200);

// What would let us in, of a registration that was refused.
std::string remedy_of(Refusal reason, const MembershipOptions& options) {
  if (reason == Refusal::not_allowed) return how_to_be_served(options.self_key);
  if (reason == Refusal::not_a_member) return how_to_be_served(RunId(options.run_key));
  return "";
}

}  // namespace

std::string how_to_be_served(const PublicKey& key) {
  return fmt::format(
      "its operator lets it in with: ptrain-relay serve --allow-peer {0}, or a line 'peer {0}' in "
      "its --allow-file",
      to_hex(key));
}

std::string how_to_be_served(const RunId& run) {
  return fmt::format(
      "its operator lets it in with: ptrain-relay serve --allow-run {0}, or a line 'run {0}' in "
      "its --allow-file",
      run.to_string());
}

RelayMembership::RelayMembership(MembershipOptions options)
    : options_(std::move(options)), patience_(kAnswerTimeout) {}

void RelayMembership::connected(TimePoint now) {
  lost();
  connected_ = true;
  ask(request::Register{options_.record}, now);
}

void RelayMembership::lost() {
  connected_ = false;
  registered_ = false;
  for (const auto& [when, body] : due_) remember_wish(body);
  for (const auto& [id, request] : open_) remember_wish(request.body);
  due_.clear();
  open_.clear();
  asked_for_.clear();
  listing_.reset();
  version_ = 0;
}

void RelayMembership::reintroduce(const Place& to, TimePoint now) {
  if (!registered_) {
    wishes_.insert(to);
  } else if (!asks_for(to)) {
    ask(introduction_to(to), now + kRetry);
  }
}

// A registration that waits for its answer is followed by this one, which is larger.
void RelayMembership::replace_record(SignedRecord record, TimePoint now) {
  options_.record = std::move(record);
  if (registered_) ask(request::Register{options_.record}, now);
}

void RelayMembership::remember_wish(const decltype(Request::body)& body) {
  if (const auto* introduce = std::get_if<request::Introduce>(&body)) wishes_.insert(introduce->to);
}

bool RelayMembership::asks_for(const Place& to) const {
  const auto concerns = [&](const decltype(Request::body)& body) {
    const auto* introduce = std::get_if<request::Introduce>(&body);
    return introduce != nullptr && introduce->to == to;
  };
  return std::ranges::any_of(due_, [&](const auto& each) { return concerns(each.second); }) ||
         std::ranges::any_of(open_, [&](const auto& each) { return concerns(each.second.body); });
}

// How many connections there are is for who dials to say; who listens asks for as many again.
request::Introduce RelayMembership::introduction_to(const Place& to) const {
  const auto known = paths_to_.find(to);
  const std::uint8_t paths = known == paths_to_.end() ? std::uint8_t{0} : known->second;
  return {.as = self(), .to = to, .paths = std::max(options_.paths, paths)};
}

void RelayMembership::set_note(std::string note) { note_ = std::move(note); }

void RelayMembership::ask(decltype(Request::body) body, TimePoint when) {
  due_.emplace(when, std::move(body));
}

std::optional<Request> RelayMembership::next_request(TimePoint now) {
  if (due_.empty() || due_.begin()->first > now) return std::nullopt;
  auto next = due_.extract(due_.begin());
  if (auto* renewal = std::get_if<request::Renew>(&next.mapped())) renewal->note = note_;
  Request request{.id = ++ids_, .body = next.mapped()};
  open_.emplace(request.id, Open{.body = std::move(next.mapped()),
                                 .sent = now,
                                 .sent_at_boot_clock = options_.boot_clock()});
  return request;
}

std::optional<Request> RelayMembership::farewell() {
  if (!std::exchange(registered_, false)) return std::nullopt;
  return Request{.id = ++ids_, .body = request::Leave{.as = self()}};
}

TimePoint RelayMembership::next_tick() const {
  TimePoint next = TimePoint::max();
  if (!due_.empty()) next = due_.begin()->first;
  if (!open_.empty()) next = std::min(next, open_.begin()->second.sent + patience_);
  return next;
}

void RelayMembership::be_patient(Duration patience) {
  patience_ = std::clamp<Duration>(patience, kAnswerTimeout, kLongestAnswerTimeout);
}

bool RelayMembership::overdue(TimePoint now) const {
  return !open_.empty() && now >= open_.begin()->second.sent + patience_;
}

// ---- Answers.

std::vector<membership::Event> RelayMembership::take(const Answer& answer, TimePoint now) {
  std::vector<membership::Event> events;
  if (const auto* introduced = std::get_if<answer::Introduced>(&answer.body)) {
    on_introduced(*introduced, events);
  } else if (const auto* fresh = std::get_if<answer::PathToken>(&answer.body)) {
    events.emplace_back(membership::Fresh{*fresh});
  } else if (const auto* appeared = std::get_if<answer::Appeared>(&answer.body)) {
    consider(appeared->record, now, events);
    notice_change(appeared->registry_version, now);
  } else if (const auto* departed = std::get_if<answer::Departed>(&answer.body)) {
    asked_for_.erase(departed->who);
    paths_to_.erase(departed->who);
    if (listing_) listing_->named.erase(departed->who);
    if (seen_.erase(departed->who) > 0) events.emplace_back(membership::Gone{departed->who});
    notice_change(departed->registry_version, now);
  } else if (const auto* revoked = std::get_if<answer::Revoked>(&answer.body)) {
    const Revocation& revocation = revoked->revocation;
    if (revocation.run_key == options_.run_key && is_signed(revocation)) {
      events.emplace_back(membership::Revoked{revocation.peer_key});
    }
  } else if (const auto* refused = std::get_if<answer::Refused>(&answer.body);
             refused != nullptr && refused->reason == Refusal::version) {
    // It could not read which request it refuses.
    open_.clear();
    due_.clear();
    on_refused({.body = request::Register{options_.record}, .sent = now}, *refused, now, events);
    return events;
  } else if (std::holds_alternative<answer::Farewell>(answer.body)) {
    events.emplace_back(membership::Farewell{});
  }
  auto request = open_.extract(answer.id);
  if (request.empty()) return events;
  be_patient(kAnswerTimes * (now - request.mapped().sent));
  if (const auto* granted = std::get_if<answer::Granted>(&answer.body)) {
    on_granted(request.mapped(), *granted, now, events);
  } else if (const auto* refused = std::get_if<answer::Refused>(&answer.body)) {
    on_refused(request.mapped(), *refused, now, events);
  } else if (const auto* claimed = std::get_if<answer::Claimed>(&answer.body)) {
    on_claimed(request.mapped(), *claimed, now, events);
  } else if (const auto* found = std::get_if<answer::Found>(&answer.body)) {
    if (const auto* asked = std::get_if<request::LookUp>(&request.mapped().body)) {
      on_found(*asked, *found, now, events);
    }
  }
  return events;
}

void RelayMembership::on_granted(const Open& request, const answer::Granted& granted, TimePoint now,
                                 std::vector<membership::Event>& events) {
  if (std::holds_alternative<request::Watch>(request.body)) return;
  const auto* registration = std::get_if<request::Register>(&request.body);
  if (registration != nullptr && registered_) {
    for (const auto& [place, sequence] : asked_for_) {
      if (!asks_for(place)) ask(introduction_to(place), now);
    }
    return notice_latest(granted.registry_version, now);
  }
  if (registration != nullptr) {
    registered_ = true;
    // Ours has changed while this was under way.
    if (registration->record != options_.record) ask(request::Register{options_.record}, now);
    ask(request::Watch{.as = self()}, now);
    ask(request::LookUp{.as = self()}, now);
    for (const Place& to : std::exchange(wishes_, {})) {
      ask(introduction_to(to), now);
    }
    for (const auto& [name, wanted] : claims_) ask_for_claim(name, now);
    events.emplace_back(membership::Standing{.registered = true, .echo_ports = granted.echo_ports});
  } else {
    notice_latest(granted.registry_version, now);
  }
  const auto lease = std::chrono::milliseconds(granted.lease_ms);
  ask(request::Renew{.as = self()}, now + std::max<Duration>(lease / kRenewalsPerLease, kRetry));
}

void RelayMembership::on_refused(const Open& request, const answer::Refused& refused, TimePoint now,
                                 std::vector<membership::Event>& events) {
  const bool temporary = refused.retry_ms != 0;
  const TimePoint again =
      now + (temporary ? Duration(std::chrono::milliseconds(refused.retry_ms)) : kRetry);
  const std::string why = fmt::format("{}: {}", name_of(refused.reason), refused.text);
  if (std::holds_alternative<request::Register>(request.body)) {
    // What we said before still holds.
    if (registered_ && temporary) return ask(request::Register{options_.record}, again);
    registered_ = false;
    // The operator may yet let us in, but whoever has just started us should know at once.
    const bool not_served = refused.reason == Refusal::not_allowed ||
                            (refused.reason == Refusal::not_a_member && !temporary);
    const bool permanent = not_served || refused.reason == Refusal::forged ||
                           refused.reason == Refusal::malformed ||
                           refused.reason == Refusal::expired ||
                           refused.reason == Refusal::revoked || refused.reason == Refusal::version;
    events.emplace_back(membership::Standing{
        .registered = false,
        .why = why,
        .permanent = permanent,
        .kind = refused.reason == Refusal::version ? ErrorKind::usage : ErrorKind::permission,
        .hint = permanent ? remedy_of(refused.reason, options_) : ""});
    // Another process has our place, or one of ours had it before our clock was set back: until its
    // lease is over.
    const bool slow = not_served || refused.reason == Refusal::outdated;
    if (!permanent || not_served) ask(request.body, slow ? now + kSlowRetry : again);
    return;
  }
  if (refused.reason == Refusal::not_a_member || refused.reason == Refusal::not_allowed) {
    if (!std::exchange(registered_, false)) return;  // on its way already
    events.emplace_back(membership::Standing{.registered = false, .why = why});
    due_.clear();
    asked_for_.clear();
    listing_.reset();
    ask(request::Register{options_.record}, again);
    return;
  }
  if (const auto* claim = std::get_if<request::Claim>(&request.body)) {
    return on_claim_refused(*claim, refused, again, events);
  }
  if (const auto* introduce = std::get_if<request::Introduce>(&request.body)) {
    if (refused.absent) {
      events.emplace_back(membership::Absent{.who = introduce->to, .asked = request.sent});
    }
    // Who is gone comes back with a new registration, and is considered then. Who is registered
    // and cannot be told at the moment is asked for again.
    if (refused.reason == Refusal::unknown_peer && !temporary) {
      asked_for_.erase(introduce->to);
      return;
    }
  }
  ask(request.body, again);
}

void RelayMembership::on_found(const request::LookUp& asked, const answer::Found& found,
                               TimePoint now, std::vector<membership::Event>& events) {
  if (asked.after == Place{}) {
    listing_ = Listing{.named = {}, .outdated = false};
    version_ = found.registry_version;
  }
  if (!listing_) return;
  for (const SignedRecord& record : found.records) consider(record, now, events);
  notice_latest(found.registry_version, now);
  if (found.complete || found.records.empty()) {
    const Listing listing = *std::exchange(listing_, std::nullopt);
    // Who is not on the list has gone, whether or not we were told.
    const auto missing = [&](const Place& place) { return !listing.named.contains(place); };
    std::erase_if(asked_for_, [&](const auto& each) { return missing(each.first); });
    for (const Place& place : seen_) {
      if (missing(place)) events.emplace_back(membership::Unlisted{place});
    }
    std::erase_if(paths_to_, [&](const auto& each) { return missing(each.first); });
    std::erase_if(seen_, missing);
    if (listing.outdated) look_up_anew(now);
    return;
  }
  const auto last = open(found.records.back());
  const auto* record = std::get_if<PeerRecord>(&last);
  if (record == nullptr) {
    if (std::exchange(listing_, std::nullopt)->outdated) look_up_anew(now);
    return;
  }
  ask(request::LookUp{.as = self(), .after = {record->peer_key, record->role}}, now);
}

void RelayMembership::on_introduced(const answer::Introduced& introduced,
                                    std::vector<membership::Event>& events) {
  const auto peer = member(introduced.record);
  if (!peer) return;
  std::uint8_t& paths = paths_to_[{peer->peer_key, peer->role}];
  paths = std::max(paths, static_cast<std::uint8_t>(introduced.tokens.size()));
  events.emplace_back(
      membership::Met{*peer, introduced.tokens, std::chrono::milliseconds(introduced.start_ms)});
}

// ---- Claims.

void RelayMembership::claim(const std::string& name, std::uint64_t number, Duration hold,
                            TimePoint now) {
  claims_[name] = {.number = number, .hold = hold};
  forget_claim_requests(name);
  if (registered_) ask_for_claim(name, now);
}

void RelayMembership::give_back(const std::string& name, TimePoint now) {
  const auto wanted = claims_.extract(name);
  if (wanted.empty()) return;
  forget_claim_requests(name);
  // One whose answer is still on its way is given back as well, since requests are taken in order.
  if (!registered_) return;
  ask(request::Claim{.as = self(), .name = name, .number = wanted.mapped().number, .hold_ms = 0},
      now);
}

void RelayMembership::ask_for_claim(const std::string& name, TimePoint when) {
  const Wanted& wanted = claims_.at(name);
  const auto hold = std::chrono::ceil<std::chrono::milliseconds>(wanted.hold).count();
  ask(request::Claim{.as = self(),
                     .name = name,
                     .number = wanted.number,
                     .hold_ms = static_cast<std::uint32_t>(hold)},
      when);
}

void RelayMembership::forget_claim_requests(const std::string& name) {
  std::erase_if(due_, [&](const auto& each) {
    const auto* claim = std::get_if<request::Claim>(&each.second);
    return claim != nullptr && claim->name == name && claim->hold_ms > 0;
  });
}

void RelayMembership::on_claimed(const Open& request, const answer::Claimed& claimed, TimePoint now,
                                 std::vector<membership::Event>& events) {
  const auto* asked = std::get_if<request::Claim>(&request.body);
  if (asked == nullptr || asked->hold_ms == 0) return;
  const auto wanted = claims_.find(asked->name);
  // Of an earlier wish: the answer to the latest one is on its way.
  if (wanted == claims_.end() || wanted->second.number != asked->number) return;
  const Duration rest = std::chrono::milliseconds(claimed.hold_ms);
  // The relay counted from when it got the request, which was later.
  events.emplace_back(membership::Claimed{.name = asked->name,
                                          .granted = claimed.granted,
                                          .number = claimed.number,
                                          .holder = claimed.holder,
                                          .until = request.sent_at_boot_clock + rest});
  if (!claimed.granted) {
    claims_.erase(wanted);
    return;
  }
  wanted->second.number = claimed.number;
  ask_for_claim(asked->name, now + std::max(rest / kRenewalsPerLease, kLeastProlonging));
}

void RelayMembership::on_claim_refused(const request::Claim& asked, const answer::Refused& refused,
                                       TimePoint again, std::vector<membership::Event>& events) {
  const auto wanted = claims_.find(asked.name);
  if (asked.hold_ms == 0 || wanted == claims_.end() || wanted->second.number != asked.number)
    return;
  if (refused.reason == Refusal::busy) return ask(asked, again);
  claims_.erase(wanted);
  membership::Claimed claimed;
  claimed.name = asked.name;
  claimed.why = fmt::format("{}: {}", name_of(refused.reason), refused.text);
  events.emplace_back(std::move(claimed));
}

// ---- Who is there.

std::optional<PeerRecord> RelayMembership::member(const SignedRecord& record) const {
  const auto opened = net::open(record);
  const auto* peer = std::get_if<PeerRecord>(&opened);
  if (peer == nullptr || peer->run_key != options_.run_key) return std::nullopt;
  return *peer;
}

bool RelayMembership::seeks(std::string_view role) const {
  return std::ranges::any_of(options_.seeks, [role](std::string_view sought) {
    if (!sought.ends_with('*')) return role == sought;
    sought.remove_suffix(1);
    return role.starts_with(sought);
  });
}

void RelayMembership::consider(const SignedRecord& record, TimePoint now,
                               std::vector<membership::Event>& events) {
  const auto peer = member(record);
  if (!peer) return;
  if (peer->role == options_.role && peer->peer_key != options_.self_key) {
    events.emplace_back(membership::Rival{peer->peer_key});
  }
  const Place place{peer->peer_key, peer->role};
  if (listing_) listing_->named.insert(place);
  const bool ours = peer->peer_key == options_.self_key && peer->role == options_.role;
  if (!ours && (seen_.size() < kMostOnRoll || seen_.contains(place))) {
    seen_.insert(place);
    events.emplace_back(membership::Seen{place});
  }
  if (!seeks(peer->role)) return;
  const auto known = asked_for_.find(place);
  if (known != asked_for_.end() && known->second >= peer->sequence) return;
  const bool wished = known == asked_for_.end() && asks_for(place);
  asked_for_[place] = peer->sequence;
  if (wished) return;
  ask(introduction_to(place), now);
}

// The relay numbers the changes of a run: after one that passed us by, who is there is asked anew.
void RelayMembership::notice_change(std::uint64_t version, TimePoint now) {
  const bool gap = version_ != 0 && version > version_ + 1;
  version_ = std::max(version_, version);
  if (gap) look_up_anew(now);
}

// What changed before this was said was told before it, unless it was lost.
void RelayMembership::notice_latest(std::uint64_t version, TimePoint now) {
  const bool missed = version_ != 0 && version > version_;
  version_ = std::max(version_, version);
  if (missed) look_up_anew(now);
}

// One list at a time: another one would take the pages of the first for its own.
void RelayMembership::look_up_anew(TimePoint now) {
  if (listing_) {
    listing_->outdated = true;
    return;
  }
  const auto is_look_up = [](const decltype(Request::body)& body) {
    return std::holds_alternative<request::LookUp>(body);
  };
  // The answer to one that is under way comes after this change.
  if (std::ranges::any_of(open_, [&](const auto& each) { return is_look_up(each.second.body); }))
    return;
  if (std::ranges::none_of(due_, [&](const auto& each) { return is_look_up(each.second); })) {
    ask(request::LookUp{.as = self()}, now);
  }
}

}  // namespace ptrain::net
