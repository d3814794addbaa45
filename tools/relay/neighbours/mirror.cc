#include "tools/relay/neighbours/mirror.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace ptrain::relay {
namespace {

namespace request = net::request;
namespace answer = net::answer;

// The neighbour's word holds for a lease, and an answer may be late or its connection lost.
constexpr int kHoldsPerLease = 6;
constexpr Duration kLongestHold = std::chrono::seconds(10);
constexpr Duration kShortestPatience = std::chrono::seconds(1);
// Of those without room, so many are known by name; it is a count for people.
constexpr std::size_t kMaxLeftOut = 1024;

// It goes to the operator's terminal.
std::string printable(std::string text) {
  std::ranges::replace_if(
      text, [](unsigned char c) { return c < 0x20 || c >= 0x7f; }, '?');
  return text;
}

Delivery delivery_of(const net::Answer& answer) {
  if (std::holds_alternative<answer::Forwarded>(answer.body)) return Delivery::made;
  const auto* refused = std::get_if<answer::Refused>(&answer.body);
  return refused != nullptr && refused->absent ? Delivery::absent : Delivery::failed;
}

}  // namespace

Mirror::Mirror(const net::PublicKey& neighbour, Registry& registry, const AccessRules& rules,
               TimePoint now)
    : neighbour_(neighbour),
      registry_(registry),
      rules_(rules),
      heard_(now),
      pages_(kPageRule, now) {}

void Mirror::connected(TimePoint now) {
  connected_ = true;
  ask_at_ = now;
}

void Mirror::lost(MirrorNews& news) {
  connected_ = following_ = false;
  asked_.reset();
  // Half a list says nothing of who was not named yet: it is begun anew.
  if (listing_ != 0) since_ = listing_ = 0;
  for (const auto& [id, message] : std::exchange(under_way_, {})) {
    news.outcomes.push_back({.forward = message.forward, .delivery = Delivery::failed});
  }
  for (const auto& [forward, body] : std::exchange(to_forward_, {})) {
    news.outcomes.push_back({.forward = forward, .delivery = Delivery::failed});
  }
}

Duration Mirror::hold() const {
  return std::min<Duration>(registry_.limits().lease / kHoldsPerLease, kLongestHold);
}

bool Mirror::overdue(TimePoint now) const {
  return asked_ && now - asked_->sent > hold() + std::max<Duration>(hold(), kShortestPatience);
}

std::optional<net::Request> Mirror::next_request(TimePoint now) {
  if (!connected_) return std::nullopt;
  if (!to_forward_.empty()) {
    auto [forward, body] = std::move(to_forward_.front());
    to_forward_.erase(to_forward_.begin());
    under_way_[++ids_] = {.forward = forward, .sent = now};
    return net::Request{.id = ids_, .body = std::move(body)};
  }
  if (asked_ || now < ask_at_ || pages_.wait(1, now) > Duration::zero()) return std::nullopt;
  pages_.take(1, now);
  if (again_at_ && now >= *again_at_) {
    again_at_.reset();
    since_ = listing_ = 0;
  }
  asked_ = Asked{.id = ++ids_, .sent = now};
  const auto hold_ms = std::chrono::ceil<std::chrono::milliseconds>(hold()).count();
  return net::Request{
      .id = ids_,
      .body = request::Mirror{
          .since = since_, .hold_ms = static_cast<std::uint32_t>(hold_ms), .listing = listing_}};
}

bool Mirror::forward(std::uint64_t id, net::request::Forward body) {
  if (!following_ || under_way_.size() + to_forward_.size() >= kMaxForwardsUnderWay) return false;
  to_forward_.emplace_back(id, std::move(body));
  return true;
}

void Mirror::take(const net::Answer& answer, TimePoint now, MirrorNews& news) {
  const auto forwarded = under_way_.extract(answer.id);
  if (!forwarded.empty()) {
    news.outcomes.push_back(
        {.forward = forwarded.mapped().forward, .delivery = delivery_of(answer)});
    return;
  }
  const auto* refused = std::get_if<answer::Refused>(&answer.body);
  // Who speaks another version cannot say to which request that is the answer.
  const bool foreign = refused != nullptr && refused->reason == net::Refusal::version;
  if (!asked_ || (answer.id != asked_->id && !foreign)) return;
  if (const auto* page = std::get_if<answer::Mirrored>(&answer.body)) {
    asked_.reset();
    on(*page, now, news);
  } else if (refused != nullptr) {
    asked_.reset();
    following_ = false;
    trouble_ = fmt::format("{}: {}", net::name_of(refused->reason), printable(refused->text));
    const Duration named = std::chrono::milliseconds(refused->retry_ms);
    ask_at_ = now + (refused->retry_ms > 0 ? std::min(named, kRefusedRetry) : kRefusedRetry);
  }
}

void Mirror::on(const answer::Mirrored& page, TimePoint now, MirrorNews& news) {
  heard_ = now;
  following_ = true;
  trouble_.clear();
  set_silent(false, news);
  if (page.afresh) {
    ++round_;
    listing_ = page.latest;
    left_out_.clear();
    again_at_.reset();
  }
  for (const net::Revocation& revocation : page.revocations) {
    if (!net::is_signed(revocation)) {
      ++forged_;
    } else if (rules_.allows_run(revocation.run_key)) {
      news.revocations.push_back(revocation);
    }
  }
  for (const answer::Gone& gone : page.gone) drop({gone.run_key, gone.who}, news);
  for (const net::SignedRecord& record : page.records) hold_member(record, news);
  since_ = page.up_to;
  if (page.complete && std::exchange(listing_, 0) != 0) {
    drop_if([&](const auto& entry) { return entry.second != round_; }, news);
  }
  // Those without room are asked for again: at once where the list has just made some.
  if (left_out_.empty() || again_at_) return;
  again_at_ = held_.size() < registry_.limits().members ? now : now + registry_.limits().lease;
}

void Mirror::hold_member(const net::SignedRecord& record, MirrorNews& news) {
  const auto opened = net::open(record);
  const auto* peer = std::get_if<net::PeerRecord>(&opened);
  if (peer == nullptr) {
    ++forged_;
    return;
  }
  const Member member{peer->run_key, {.peer_key = peer->peer_key, .role = peer->role}};
  if (!rules_.allows_run(peer->run_key) || !rules_.allows_peer(peer->peer_key)) {
    return drop(member, news);
  }
  if (!held_.contains(member) && held_.size() >= registry_.limits().members) {
    if (left_out_.size() < kMaxLeftOut) left_out_.insert(member);
    return;
  }
  held_[member] = round_;
  if (auto change = registry_.mirror(neighbour_, *peer, record)) {
    news.changes.push_back(std::move(*change));
  }
}

void Mirror::drop(const Member& member, MirrorNews& news) {
  left_out_.erase(member);
  if (held_.erase(member) == 0) return;
  if (auto departure = registry_.unmirror(neighbour_, member.run_key, member.place)) {
    news.departures.push_back(std::move(*departure));
  }
}

template <class Condition>
void Mirror::drop_if(Condition condition, MirrorNews& news) {
  std::vector<Member> dropped;
  for (const auto& entry : held_) {
    if (condition(entry)) dropped.push_back(entry.first);
  }
  for (const Member& member : dropped) drop(member, news);
}

void Mirror::set_silent(bool silent, MirrorNews& news) {
  if (std::exchange(silent_, silent) == silent) return;
  for (Change& change : registry_.set_silent(neighbour_, silent)) {
    news.changes.push_back(std::move(change));
  }
}

void Mirror::expire(TimePoint now, MirrorNews& news) {
  while (!under_way_.empty() && now - under_way_.begin()->second.sent > kForwardAnswerTimeout) {
    news.outcomes.push_back(
        {.forward = under_way_.begin()->second.forward, .delivery = Delivery::failed});
    under_way_.erase(under_way_.begin());
  }
  const Duration since_heard = now - heard_;
  if (since_heard > registry_.limits().lease) set_silent(true, news);
  if (since_heard <= kForgetNeighbour || held_.empty()) return;
  drop_if([](const auto&) { return true; }, news);
  since_ = listing_ = 0;
}

void Mirror::apply_rules(MirrorNews& news) {
  drop_if(
      [&](const auto& entry) {
        const Member& member = entry.first;
        return !rules_.allows_run(member.run_key) || !rules_.allows_peer(member.place.peer_key);
      },
      news);
  // Whom the earlier rules left out is on the list; a page that is under way says nothing of them.
  asked_.reset();
  since_ = listing_ = 0;
}

void Mirror::dissolve(MirrorNews& news) {
  lost(news);
  drop_if([](const auto&) { return true; }, news);
  set_silent(false, news);
}

}  // namespace ptrain::relay
