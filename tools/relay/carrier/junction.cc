#include "tools/relay/carrier/junction.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "libcommon/os/tcp_tuning.h"
#include "tools/relay/carrier/flow.h"
#include "tools/relay/carrier/socks_handshake.h"

namespace ptrain::relay {
namespace {

constexpr int kKeepaliveIdleS = 15;
constexpr int kKeepaliveIntervalS = 5;

constexpr std::uint32_t kWhileWaiting = EPOLLRDHUP;
constexpr std::uint32_t kWhileJoined = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;

void set_option(int socket, int level, int name, int value) {
  // A stream works without any of them.
  static_cast<void>(::setsockopt(socket, level, name, &value, sizeof value));
}

void configure(int socket, std::chrono::milliseconds unacknowledged) {
  set_option(socket, IPPROTO_TCP, TCP_NODELAY, 1);
  set_option(socket, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_option(socket, IPPROTO_TCP, TCP_KEEPIDLE, kKeepaliveIdleS);
  set_option(socket, IPPROTO_TCP, TCP_KEEPINTVL, kKeepaliveIntervalS);
  set_option(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, static_cast<int>(unacknowledged.count()));
  os::tune_tcp(socket);
}

bool say(int socket, SocksReply reply) {
  const std::string answer = socks_answer(reply);
  return ::send(socket, answer.data(), answer.size(), MSG_NOSIGNAL | MSG_DONTWAIT) ==
         static_cast<ssize_t>(answer.size());
}

std::size_t index_of(Side side) { return static_cast<std::size_t>(side); }
Side other_side(Side side) { return side == Side::low ? Side::high : Side::low; }

}  // namespace

class Junction::Party final : public Watched {
 public:
  Party(Junction& home, Pair& of, Side at, os::FileDescriptor from, PeerLedger::Account& whose,
        const SourceAddress& where)
      : pair(of),
        side(at),
        source(where),
        socket(std::move(from)),
        account(whose),
        junction(home) {}
  void on_events(std::uint32_t events) override { junction.on_party_events(*this, events); }

  Pair& pair;
  const Side side;
  const SourceAddress source;
  os::FileDescriptor socket;
  PeerLedger::Account& account;
  Junction& junction;
};

struct Junction::Pair {
  Pairing pairing;
  std::array<std::unique_ptr<Party>, 2> parties;  // by Side
  std::vector<Flow> flows;                        // once joined, by the sender's Side
  TimePoint since{};                              // joined, or the first one came
  TimePoint moved{};                              // bytes, for the last time
  std::int64_t order = 0;                         // later ones have smaller ones
  bool is_ready = false;
  std::optional<TimePoint> held_until;

  bool is_joined() const { return !flows.empty(); }
  int connections() const { return (parties[0] != nullptr) + (parties[1] != nullptr); }
};

Junction::Junction(JunctionLimits limits, Poller& poller, PeerLedger& ledger,
                   CarrierCounters& counters, const Clock& clock)
    : limits_(limits),
      poller_(poller),
      ledger_(ledger),
      counters_(counters),
      clock_(clock),
      pipes_(kIdlePipes) {}

Junction::~Junction() { close(); }

void Junction::close() {
  while (!pairs_.empty()) cut(pairs_.begin()->second);
}

void Junction::make_room_for(const SourceAddress& source) {
  const auto largest = ledger_.gives_way_to(source);
  if (!largest) return;
  Pair& pair = *std::get<Pair*>(*of_source_.at(*largest).begin());
  counters_.over_limits += pair.connections();
  cut(pair);
}

void Junction::arrive(os::FileDescriptor socket, const Seat& seat, const SourceAddress& source) {
  const TimePoint now = clock_.now();
  const auto earlier = pairs_.find(seat.pairing);
  if (earlier != pairs_.end() && earlier->second.parties[index_of(seat.side)] != nullptr) {
    Pair& pair = earlier->second;
    counters_.replaced += pair.is_joined() ? 2 : 1;
    // The partner of a stream has lost it too, and comes again with a token of its own.
    cut(pair);
  }
  make_room_for(source);
  PeerLedger::Account* account = ledger_.open(seat.owner().peer_key, source, now);
  if (account == nullptr) {
    ++counters_.over_limits;
    say(socket.get(), SocksReply::failure);
    return;
  }
  configure(socket.get(), limits_.unacknowledged);
  Pair& pair = pairs_[seat.pairing];
  pair.pairing = seat.pairing;
  auto& party = pair.parties[index_of(seat.side)];
  party = std::make_unique<Party>(*this, pair, seat.side, std::move(socket), *account, source);
  if (pair.order == 0) pair.order = --arrivals_;
  of_source_[source].insert({false, pair.order, &pair});
  ++counters_.waiting;
  if (!poller_.watch(party->socket.get(), *party, kWhileWaiting)) return leave(pair, seat.side);
  if (pair.connections() == 2) {
    join(pair, now);
  } else {
    pair.since = now;
  }
}

void Junction::join(Pair& pair, TimePoint now) {
  const int low = pair.parties[0]->socket.get();
  const int high = pair.parties[1]->socket.get();
  pair.flows.emplace_back(low, high);
  pair.flows.emplace_back(high, low);
  pair.since = pair.moved = now;
  for (const auto& party : pair.parties) {
    of_source_[party->source].erase({false, pair.order, &pair});
  }
  for (const auto& party : pair.parties) {
    of_source_[party->source].insert({true, pair.order, &pair});
  }
  counters_.waiting -= 2;
  ++counters_.streams;
  ++counters_.joined;
  if (!say(low, SocksReply::succeeded) || !say(high, SocksReply::succeeded)) return cut(pair);
  for (const auto& party : pair.parties) {
    poller_.change(party->socket.get(), *party, kWhileJoined);
  }
}

void Junction::on_party_events(Party& party, std::uint32_t events) {
  Pair& pair = party.pair;
  if (!pair.is_joined()) return leave(pair, party.side);
  if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
    pair.flows[index_of(party.side)].may_read();
  }
  if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) {
    pair.flows[index_of(other_side(party.side))].may_write();
  }
  queue(pair);
}

void Junction::queue(Pair& pair) {
  if (std::exchange(pair.is_ready, true)) return;
  ready_.push_back(&pair);
}

void Junction::round(TimePoint now) {
  while (!held_.empty() && held_.begin()->first <= now) {
    Pair& pair = *held_.begin()->second;
    held_.erase(held_.begin());
    pair.held_until.reset();
    queue(pair);
  }
  for (std::size_t turns = ready_.size(); turns > 0; --turns) {
    Pair& pair = *ready_.front();
    ready_.pop_front();
    pair.is_ready = false;
    take_turn(pair, now);
  }
}

void Junction::take_turn(Pair& pair, TimePoint now) {
  bool is_broken = false;
  bool has_more = false;
  TimePoint again = TimePoint::max();
  for (const Side side : {Side::low, Side::high}) {
    PeerLedger::Account& sender = pair.parties[index_of(side)]->account;
    if (!sender.may_send(now)) {
      again = std::min(again, sender.may_send_at());
      continue;
    }
    const Flow::Turn turn = pair.flows[index_of(side)].turn(kTurnBytes, pipes_);
    if (turn.moved > 0) {
      sender.sent(turn.moved, now);
      counters_.bytes += turn.moved;
      pair.moved = now;
    }
    is_broken |= turn.state == Flow::State::broken;
    has_more |= turn.state == Flow::State::more;
    if (turn.state == Flow::State::no_pipe) {
      ++counters_.out_of_files;
      again = std::min(again, now + kPipeRetry);
    }
  }
  if (is_broken || (pair.flows[0].ended() && pair.flows[1].ended())) return cut(pair);
  if (has_more) return queue(pair);
  if (again == TimePoint::max() || pair.held_until) return;
  pair.held_until = again;
  held_.emplace(again, &pair);
}

void Junction::tick(TimePoint now) {
  for (auto next = pairs_.begin(); next != pairs_.end();) {
    Pair& pair = (next++)->second;
    const bool is_over = pair.is_joined()
                             ? now - pair.moved >= limits_.idle || now - pair.since >= limits_.life
                             : now - pair.since >= limits_.wait_for_partner;
    if (!is_over) continue;
    counters_.timed_out += pair.connections();
    cut(pair);
  }
}

void Junction::revoke(const std::vector<Member>& members) {
  if (members.empty()) return;
  const std::set<Member> revoked(members.begin(), members.end());
  for (auto next = pairs_.begin(); next != pairs_.end();) {
    Pair& pair = (next++)->second;
    const VerifyKey& run_key = pair.pairing.run_key;
    if (revoked.count({run_key, pair.pairing.low}) + revoked.count({run_key, pair.pairing.high}) ==
        0) {
      continue;
    }
    counters_.revoked += pair.connections();
    cut(pair);
  }
}

void Junction::cut_waiting() {
  for (auto next = pairs_.begin(); next != pairs_.end();) {
    Pair& pair = (next++)->second;
    if (!pair.is_joined()) cut(pair);
  }
}

TimePoint Junction::next_round() const {
  if (!ready_.empty()) return TimePoint::min();
  return held_.empty() ? TimePoint::max() : held_.begin()->first;
}

bool Junction::has_streams() const { return counters_.streams > 0; }

// The only party of a pair that is not joined.
void Junction::leave(Pair& pair, Side side) {
  if (pair.parties[index_of(side)] != nullptr) cut(pair);
}

void Junction::cut(Pair& pair) {
  if (pair.is_joined()) {
    --counters_.streams;
  } else {
    counters_.waiting -= pair.connections();
  }
  for (const auto& party : pair.parties) {
    if (!party) continue;
    if (!pair.is_joined()) say(party->socket.get(), SocksReply::host_unreachable);
    poller_.forget(party->socket.get(), *party);
    ledger_.close(party->account, party->source);
    const auto of_source = of_source_.find(party->source);
    if (of_source == of_source_.end()) continue;  // both sides are one source's
    of_source->second.erase({pair.is_joined(), pair.order, &pair});
    if (of_source->second.empty()) of_source_.erase(of_source);
  }
  if (pair.is_ready) std::erase(ready_, &pair);
  if (pair.held_until) held_.erase({*pair.held_until, &pair});
  const Pairing pairing = pair.pairing;
  pairs_.erase(pairing);
}

}  // namespace ptrain::relay
