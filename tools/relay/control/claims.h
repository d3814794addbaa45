// Claims of runs: leases by name, with numbers that only grow.
//
// A member claims a name with a number that is larger than any that was granted for it. While its
// claim holds, nobody else gets the name; the holder may prolong it under its number. One relay's
// grant says nothing by itself: whoever holds a claim at a majority of the ticket's relays is the
// only one that acts under that number, and what it does carries the number. So what counts is that
// a number is never granted twice, and never after a larger one: numbers outlive claims, and
// restarts of the relay.
//
// Pure; the time comes with each call. One thread.

#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <tuple>

#include "libcommon/base/clock.h"
#include "libcommon/net/relay_protocol.h"

namespace ptrain::relay {

// Names of one run, and of all. When these are not enough, those go that nobody has held for
// longest; while all are held, another is refused.
inline constexpr std::size_t kMaxClaimsOfRun = 4;
inline constexpr std::size_t kMaxClaims = 16384;

class Claims {
 public:
  explicit Claims(std::size_t max_claims = kMaxClaims) : max_claims_(max_claims) {}

  // `longest` is the longest that a claim may hold. Refused as full where there is no room.
  std::optional<net::answer::Claimed> claim(const net::request::Claim& wanted,
                                            const net::Place& who, Duration longest, TimePoint now);
  // A member whose lease is over holds nothing.
  void release(const VerifyKey& run_key, const net::Place& who);

  // Back from the state file: the number, held by nobody.
  void restore(const VerifyKey& run_key, const std::string& name, std::uint64_t number);
  using Visit =
      std::function<void(const VerifyKey& run_key, const std::string& name, std::uint64_t number)>;
  void for_each(const Visit& visit) const;

  std::size_t size() const { return claims_.size(); }
  // Rises with each number that is granted.
  std::uint64_t changes() const { return changes_; }

 private:
  using Name = std::pair<VerifyKey, std::string>;
  struct Held {
    std::uint64_t number = 0;
    net::Place holder;
    TimePoint until{};
  };
  bool make_room(const VerifyKey& run_key, TimePoint now);

  std::size_t max_claims_;
  std::map<Name, Held> claims_;
  std::uint64_t changes_ = 0;
};

}  // namespace ptrain::relay
