// Claims of runs: leases by name, with numbers that only grow.
//
// A member claims a name under a number that is larger than any that was granted for it, or lets
// the relay take the next one. While its claim holds, nobody else gets the name; the holder may
// prolong it under its number. One relay's grant says nothing by itself: whoever holds a claim at a
// majority of the ticket's relays is the only one that acts under that number, and what it does
// carries the number. So what counts is that a number is never granted twice, and never after a
// larger one.
//
// That needs no write before an answer. Numbers begin at the milliseconds since 1970 at which the
// relay began (begin()), and grow by one where the holder changes, so that those of an earlier
// process, whatever it had no time to save, are smaller. What is forgotten for want of room counts
// as granted up to that moment. A member may ask for numbers a day ahead of that, lest one use them
// all up. What was saved is restored with its holder; after a process that had no time to save,
// nothing new is granted until the latest that it can have granted is over.
//
// Room is shared by addresses (fair_share.h). Claims count by a clock that goes on while the
// machine sleeps (boot_clock.h). Pure; the time comes with each call. One thread.

#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <variant>

#include "libcommon/base/clock.h"
#include "libcommon/net/relay_protocol.h"
#include "tools/relay/control/fair_share.h"

namespace ptrain::relay {

struct ClaimLimits {
  // Names of one run. When these are not enough the one goes that nobody has held for longest;
  // while all are held, another is refused.
  std::size_t of_run = 4;
  // That one key holds, whatever its runs and roles.
  std::size_t of_key = 16;
  // In all: of more, one goes of the address that has most.
  std::size_t claims = 16384;
};

// Numbers may be ahead of the clock by so much: relays' clocks differ.
inline constexpr Duration kMostAhead = std::chrono::hours(24);

// Who claims, and from where (quota_address.h).
struct Claimant {
  net::Place who;
  std::string address;
};

// Why an answer is no Claimed: no room; or a number that is too far ahead.
enum class ClaimFlaw { full, ahead };

class Claims {
 public:
  explicit Claims(ClaimLimits limits = {}) : limits_(limits) {}

  // No number up to `floor` is granted, and nothing new before `quiet_until`.
  void begin(std::uint64_t floor, TimePoint quiet_until, TimePoint now);
  // What `floor` has to be at least when a later process begins.
  std::uint64_t floor_at(TimePoint now) const;

  // `longest` is the longest that a claim may hold.
  std::variant<net::answer::Claimed, ClaimFlaw> claim(const net::request::Claim& wanted,
                                                      const Claimant& by, Duration longest,
                                                      TimePoint now);
  // That member says that it ends, or was taken out of its run: it holds nothing. One that was
  // merely not heard of may still act as a holder.
  void release(const VerifyKey& run_key, const net::Place& who);

  struct Held {
    std::uint64_t number = 0;
    net::Place holder;
    std::string address;
    TimePoint until{};
    bool operator==(const Held&) const = default;
  };
  // Back from the state file.
  void restore(const VerifyKey& run_key, const std::string& name, Held held);
  using Visit =
      std::function<void(const VerifyKey& run_key, const std::string& name, const Held& held)>;
  void for_each(const Visit& visit) const;

  std::size_t size() const { return claims_.size(); }
  // Rises with each number that is granted, and with what is given back.
  std::uint64_t changes() const { return changes_; }

 private:
  using Name = std::pair<VerifyKey, std::string>;
  using ByEnd = std::set<std::pair<TimePoint, Name>>;  // the one that ended first comes first
  using Entry = std::map<Name, Held>::iterator;

  std::size_t held_by(const net::PublicKey& key, TimePoint now) const;
  bool make_room(const Name& name, const std::string& address, TimePoint now);
  void set(Entry entry, Held held);
  void forget(Entry entry, TimePoint now);
  void index(Entry entry);
  void unindex(Entry entry);

  ClaimLimits limits_;
  std::uint64_t floor_ = 0;
  TimePoint begun_{};
  TimePoint quiet_until_{};
  std::map<Name, Held> claims_;
  std::map<net::PublicKey, ByEnd> of_key_;
  std::map<std::string, ByEnd> of_address_;
  FairShare<> shares_;
  std::uint64_t forgotten_ = 0;  // of names that are not known any more, the largest number
  std::uint64_t changes_ = 0;
};

}  // namespace ptrain::relay
