#include "tools/relay/control/rate_limits.h"

#include <algorithm>

namespace ptrain::relay {

double TokenBucket::level(TimePoint now) const {
  return std::min(rule_.burst, level_ + rule_.per_s * std::max(0.0, seconds(now - at_)));
}

void TokenBucket::take(double cost, TimePoint now) {
  level_ = std::max(level(now) - cost, -kMaxDebt);
  at_ = now;
}

Duration TokenBucket::wait(double cost, TimePoint now) const {
  const double missing = std::max(0.0, cost - level(now));
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(missing / rule_.per_s));
}

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
TokenBucket* RateLimits::bucket(Map& map, const typename Map::key_type& key, BucketRule rule,
                                TimePoint now) {
  auto entry = map.find(key);
  if (entry != map.end()) return &entry->second;
  if (map.size() >= max_buckets_) prune(now);
  if (map.size() >= max_buckets_) return nullptr;
  return &map.emplace(key, TokenBucket(rule, now)).first->second;
}

Toll RateLimits::charge(const net::PublicKey& key, const std::string& address, Standing standing,
                        double cost, TimePoint now) {
  const bool stranger = standing == Standing::stranger;
  TokenBucket* own = stranger ? bucket(addresses_, address, kAddressRule, now)
                     : standing == Standing::neighbour
                         ? bucket(neighbours_, key, kNeighbourRule, now)
                         : bucket(members_, key, kMemberRule, now);
  if (own == nullptr) return Ignore{};
  Duration retry = own->wait(cost, now);
  if (stranger) retry = std::max(retry, strangers_.wait(cost, now));
  // What is refused takes from its sender's bucket too: refusals are not free either.
  own->take(cost, now);
  if (own->level(now) <= -kMaxOverdraft) return Ignore{};
  if (retry > Duration::zero()) return Wait{retry};
  if (stranger) strangers_.take(cost, now);
  return Pass{};
}

}  // namespace ptrain::relay
