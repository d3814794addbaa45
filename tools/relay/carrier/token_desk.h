// Who may be joined with whom at the data port: tokens, each good for one connection.
//
// The control port issues a token to one side of a pair of peers; the data port redeems it.
// A token is spent by its first use, whoever used it, and its owner is told a fresh one: so
// one that was read off the wire costs its owner one attempt to connect at most, and data
// never, because CURVE runs between the peers. A token is void when the lease of either side
// ends. When there is no room, the address with the most tokens loses its oldest (fair_share.h).
// Any thread.

#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "libcommon/base/clock.h"
#include "libcommon/base/random_source.h"
#include "libcommon/net/relay_protocol.h"
#include "tools/relay/carrier/doorbell.h"
#include "tools/relay/control/fair_share.h"
#include "tools/relay/member.h"

namespace ptrain::relay {

// One relayed connection between two members of a run. `low` is the smaller Place.
struct Pairing {
  VerifyKey run_key{};
  net::Place low;
  net::Place high;
  std::uint8_t path = 0;
  auto operator<=>(const Pairing&) const = default;
};

enum class Side : std::uint8_t { low, high };

// What a token stands for: one side of a pairing.
struct Seat {
  Pairing pairing;
  Side side = Side::low;
  auto operator<=>(const Seat&) const = default;
  const net::Place& owner() const { return side == Side::low ? pairing.low : pairing.high; }
  const net::Place& other() const { return side == Side::low ? pairing.high : pairing.low; }
};

inline constexpr std::size_t kTokenBytes = 20;  // of randomness
inline constexpr std::size_t kTokenChars = kTokenBytes * 8 / 5;

struct TokenDeskLimits {
  std::size_t tokens = 1u << 16;
  std::size_t tokens_per_member = 1024;  // its own and those that lead to it
  // Long, because a peer keeps the token for its next attempt while its stream lives.
  Duration token_life = std::chrono::hours(24);
};

class TokenDesk {
 public:
  // `random` outlives the object and is used by one thread at a time.
  TokenDesk(TokenDeskLimits limits, RandomSource& random);

  // ---- For the control port.
  // A fresh token for that seat, which replaces any earlier one; nullopt when a table is full.
  // `source` is what the owner's tokens count for: its address, say.
  std::optional<std::string> issue(const Seat& seat, const std::string& source, TimePoint now);
  // The lease of that member is over: its tokens are void and its streams are cut.
  void revoke(const VerifyKey& run_key, const net::Place& member);
  // Seats whose token was spent since the last call: their owners need a fresh one.
  std::vector<Seat> take_spent();
  int spent_fd() const { return spent_bell_.fd(); }  // readable while take_spent() has something

  // ---- For the data port.
  // The seat, for a token that is valid; it no longer is.
  std::optional<Seat> redeem(std::string_view token, TimePoint now);
  // Members whose streams must end.
  std::vector<Member> take_revoked();
  int revoked_fd() const { return revoked_bell_.fd(); }

  std::size_t valid_tokens() const;

 private:
  struct Token {
    std::string text;
    Seat seat;
    std::string source;
    TimePoint expires;
    std::uint64_t number = 0;
  };
  using Tokens = std::list<Token>;  // oldest first, and so in the order of expiry

  void expire(TimePoint now);
  void forget(Tokens::iterator token);
  bool has_room_for(const Member& member) const;
  bool make_room(const std::string& source);

  TokenDeskLimits limits_;
  RandomSource& random_;
  mutable std::mutex mutex_;
  Tokens tokens_;
  std::unordered_map<std::string, Tokens::iterator> by_text_;
  std::map<Member, std::map<Seat, Tokens::iterator>> by_member_;  // each token under both members
  std::map<std::string, std::map<std::uint64_t, Tokens::iterator>> by_source_;  // oldest first
  FairShare<> per_source_;
  std::uint64_t issued_ = 0;
  std::set<Seat> spent_;
  std::set<Member> revoked_;
  Doorbell spent_bell_;
  Doorbell revoked_bell_;
};

}  // namespace ptrain::relay
