// How much may be asked of the relay: token buckets for the key of each member and of each
// neighbour, for the address of each stranger, and for all strangers together.
//
// Keys cost nothing to make, so a stranger is its address; addresses are shared by those behind
// one NAT, so whoever has a lease is its key, and a flood of strangers from its own network or
// from everywhere takes nothing from it. Pure.

#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <variant>

#include "libcommon/base/clock.h"
#include "libcommon/base/token_bucket.h"
#include "libcommon/net/endpoint.h"

namespace ptrain::relay {

// Whom we refused this much beyond its limit is not even told so any more.
inline constexpr double kMaxOverdraft = 400;
// So far a bucket goes down: who floods stays unanswered until it has stopped for a while.
inline constexpr double kMaxDebt = 2 * kMaxOverdraft;
// A renewal takes 1; RequestHandler says what the others take.
inline constexpr BucketRule kMemberRule{.per_s = 50, .burst = 400, .debt = kMaxDebt};
inline constexpr BucketRule kNeighbourRule{.per_s = 1000, .burst = 4000, .debt = kMaxDebt};
inline constexpr BucketRule kAddressRule{.per_s = 500, .burst = 4000, .debt = kMaxDebt};
inline constexpr BucketRule kStrangersRule{.per_s = 4000, .burst = 16000, .debt = kMaxDebt};
// So much of an address passes whatever the others use up of that.
inline constexpr BucketRule kAddressShare{.per_s = 20, .burst = 100, .debt = kMaxDebt};
// Buckets of each kind at a time.
inline constexpr std::size_t kMaxBuckets = 65536;
inline constexpr Duration kPruneInterval = std::chrono::seconds(1);

enum class Standing { stranger, member, neighbour };

struct Pass {};
struct Wait {
  Duration retry;
};
struct Ignore {};  // without an answer
using Toll = std::variant<Pass, Wait, Ignore>;

class RateLimits {
 public:
  explicit RateLimits(TimePoint now, std::size_t max_buckets = kMaxBuckets)
      : strangers_(kStrangersRule, now), max_buckets_(max_buckets) {}

  // `address`: see quota_address.h.
  Toll charge(const net::PublicKey& key, const std::string& address, Standing standing, double cost,
              TimePoint now);
  std::size_t buckets() const { return members_.size() + neighbours_.size() + addresses_.size(); }

 private:
  // What is left of an address's own limit, and of its share.
  struct Address {
    TokenBucket bucket;
    TokenBucket share;
    bool full(TimePoint now) const { return bucket.full(now) && share.full(now); }
  };
  // nullptr: no room.
  template <class Map>
  typename Map::mapped_type* find(Map& map, const typename Map::key_type& key,
                                  const typename Map::mapped_type& fresh, TimePoint now);
  Toll charge_member(std::map<net::PublicKey, TokenBucket>& buckets, const net::PublicKey& key,
                     BucketRule rule, double cost, TimePoint now);
  Toll charge_stranger(const std::string& address, double cost, TimePoint now);
  void prune(TimePoint now);

  std::map<net::PublicKey, TokenBucket> members_;
  std::map<net::PublicKey, TokenBucket> neighbours_;
  std::map<std::string, Address> addresses_;
  TokenBucket strangers_;
  std::size_t max_buckets_;
  std::optional<TimePoint> pruned_;
};

}  // namespace ptrain::relay
