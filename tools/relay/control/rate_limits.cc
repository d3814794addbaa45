#include "tools/relay/control/rate_limits.h"

#include <algorithm>

namespace ptrain::relay {

void RateLimits::prune(TimePoint now) {
  // Looking through a full table for every newcomer would be an attack on ourselves.
  if (pruned_ && now - *pruned_ < kPruneInterval) return;
  pruned_ = now;
  // A bucket that is full again says the same as none.
  const auto idle = [now](const auto& entry) { return entry.second.full(now); };
  std::erase_if(members_, idle);
  std::erase_if(neighbours_, idle);
  std::erase_if(addresses_, idle);
}

template <class Map>
typename Map::mapped_type* RateLimits::find(Map& map, const typename Map::key_type& key,
                                            const typename Map::mapped_type& fresh, TimePoint now) {
  auto entry = map.find(key);
  if (entry != map.end()) return &entry->second;
  if (map.size() >= max_buckets_) prune(now);
  if (map.size() >= max_buckets_) return nullptr;
  return &map.emplace(key, fresh).first->second;
}

Toll RateLimits::charge(const net::PublicKey& key, const std::string& address, Standing standing,
                        double cost, TimePoint now) {
  switch (standing) {
    case Standing::stranger:
      return charge_stranger(address, cost, now);
    case Standing::neighbour:
      return charge_member(neighbours_, key, kNeighbourRule, cost, now);
    case Standing::member:
      break;
  }
  return charge_member(members_, key, kMemberRule, cost, now);
}

// What is refused takes from its sender's bucket too: refusals are not free either.
Toll RateLimits::charge_member(std::map<net::PublicKey, TokenBucket>& buckets,
                               const net::PublicKey& key, BucketRule rule, double cost,
                               TimePoint now) {
  TokenBucket* own = find(buckets, key, TokenBucket(rule, now), now);
  if (own == nullptr) return Ignore{};
  const Duration retry = own->wait(cost, now);
  own->take(cost, now);
  if (own->level(now) <= -kMaxOverdraft) return Ignore{};
  if (retry > Duration::zero()) return Wait{retry};
  return Pass{};
}

Toll RateLimits::charge_stranger(const std::string& address, double cost, TimePoint now) {
  Address* own = find(
      addresses_, address,
      {.bucket = TokenBucket(kAddressRule, now), .share = TokenBucket(kAddressShare, now)}, now);
  if (own == nullptr) return Ignore{};
  const bool within_share = own->share.level(now) >= cost;
  Duration retry = own->bucket.wait(cost, now);
  if (!within_share) retry = std::max(retry, strangers_.wait(cost, now));
  own->bucket.take(cost, now);
  if (own->bucket.level(now) <= -kMaxOverdraft) return Ignore{};
  if (retry > Duration::zero()) return Wait{retry};
  (within_share ? own->share : strangers_).take(cost, now);
  return Pass{};
}

}  // namespace ptrain::relay
