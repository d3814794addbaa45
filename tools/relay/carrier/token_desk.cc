#include "tools/relay/carrier/token_desk.h"

#include <iterator>
#include <utility>

#include "libcommon/base/base32.h"
#include "libcommon/net/relay_codec.h"

namespace ptrain::relay {
namespace {

static_assert(kTokenBytes >= 16, "a token must not be guessed");
static_assert(kTokenChars <= net::kMaxTokenChars);

Member owner_of(const Seat& seat) { return {seat.pairing.run_key, seat.owner()}; }
Member other_of(const Seat& seat) { return {seat.pairing.run_key, seat.other()}; }

template <class T>
std::vector<T> take_all(std::set<T>& from) {
  std::vector<T> all(std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
  from.clear();
  return all;
}

}  // namespace

TokenDesk::TokenDesk(TokenDeskLimits limits, RandomSource& random)
    : limits_(limits), random_(random) {}

std::optional<std::string> TokenDesk::issue(const Seat& seat, const std::string& source,
                                            TimePoint now) {
  const std::lock_guard lock(mutex_);
  expire(now);
  spent_.erase(seat);
  if (spent_.empty()) spent_bell_.silence();
  if (const auto member = by_member_.find(owner_of(seat)); member != by_member_.end()) {
    const auto earlier = member->second.find(seat);
    if (earlier != member->second.end()) forget(earlier->second);
  }
  if (!has_room_for(owner_of(seat)) || !has_room_for(other_of(seat)) || !make_room(source)) {
    return std::nullopt;
  }
  std::string text = to_base32(random_.bytes<kTokenBytes>());
  const auto token = tokens_.insert(tokens_.end(), {.text = text,
                                                    .seat = seat,
                                                    .source = source,
                                                    .expires = now + limits_.token_life,
                                                    .number = ++issued_});
  by_source_[source].emplace(token->number, token);
  per_source_.add(source);
  by_text_.emplace(text, token);
  by_member_[owner_of(seat)].emplace(seat, token);
  by_member_[other_of(seat)].emplace(seat, token);
  return text;
}

void TokenDesk::revoke(const VerifyKey& run_key, const net::Place& place) {
  const std::lock_guard lock(mutex_);
  const Member member{run_key, place};
  for (auto found = by_member_.find(member); found != by_member_.end();
       found = by_member_.find(member)) {
    forget(found->second.begin()->second);
  }
  std::erase_if(spent_, [&](const Seat& seat) {
    return owner_of(seat) == member || other_of(seat) == member;
  });
  if (spent_.empty()) spent_bell_.silence();
  revoked_.insert(member);
  revoked_bell_.ring();
}

std::vector<Seat> TokenDesk::take_spent() {
  const std::lock_guard lock(mutex_);
  spent_bell_.silence();
  return take_all(spent_);
}

std::optional<Seat> TokenDesk::redeem(std::string_view token, TimePoint now) {
  const std::lock_guard lock(mutex_);
  expire(now);
  const auto found = by_text_.find(std::string(token));
  if (found == by_text_.end()) return std::nullopt;
  const Seat seat = found->second->seat;
  forget(found->second);
  spent_.insert(seat);
  spent_bell_.ring();
  return seat;
}

std::vector<Member> TokenDesk::take_revoked() {
  const std::lock_guard lock(mutex_);
  revoked_bell_.silence();
  return take_all(revoked_);
}

std::size_t TokenDesk::valid_tokens() const {
  const std::lock_guard lock(mutex_);
  return tokens_.size();
}

void TokenDesk::expire(TimePoint now) {
  while (!tokens_.empty() && tokens_.front().expires <= now) forget(tokens_.begin());
}

void TokenDesk::forget(Tokens::iterator token) {
  for (const Member& member : {owner_of(token->seat), other_of(token->seat)}) {
    const auto found = by_member_.find(member);
    if (found == by_member_.end()) continue;  // both sides are one member
    found->second.erase(token->seat);
    if (found->second.empty()) by_member_.erase(found);
  }
  const auto of_source = by_source_.find(token->source);
  of_source->second.erase(token->number);
  if (of_source->second.empty()) by_source_.erase(of_source);
  per_source_.remove(token->source);
  by_text_.erase(token->text);
  tokens_.erase(token);
}

bool TokenDesk::make_room(const std::string& source) {
  if (tokens_.size() < limits_.tokens) return true;
  const auto largest = per_source_.gives_way_to(source);
  if (!largest) return false;
  forget(by_source_.at(*largest).begin()->second);
  return true;
}

bool TokenDesk::has_room_for(const Member& member) const {
  const auto found = by_member_.find(member);
  return found == by_member_.end() || found->second.size() < limits_.tokens_per_member;
}

}  // namespace ptrain::relay
