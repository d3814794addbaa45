#include "libcommon/probe/matrix_schedule.h"

#include <utility>

namespace ptrain::probe {

MatrixSchedule::MatrixSchedule(std::vector<std::uint32_t> hosts) : hosts_(std::move(hosts)) {
  for (const Round& round : rounds_of(hosts_)) {
    waiting_.insert(waiting_.end(), round.begin(), round.end());
    ++rounds_;
  }
}

std::vector<Pair> MatrixSchedule::due() {
  std::vector<Pair> due;
  // A host whose earlier test waits for the other's end waits, too: else the order would be lost,
  // and with it how few rounds there are.
  std::set<std::uint32_t> taken = busy_;
  std::erase_if(waiting_, [&](const Pair& pair) {
    const std::uint32_t a = hosts_[pair.first];
    const std::uint32_t b = hosts_[pair.second];
    const bool free = !taken.contains(a) && !taken.contains(b);
    taken.insert({a, b});
    if (!free) return false;
    busy_.insert({a, b});
    ++running_;
    due.push_back(pair);
    return true;
  });
  return due;
}

void MatrixSchedule::done(const Pair& pair) {
  busy_.erase(hosts_[pair.first]);
  busy_.erase(hosts_[pair.second]);
  --running_;
}

std::vector<Pair> MatrixSchedule::drop(std::size_t peer) {
  std::vector<Pair> dropped;
  std::erase_if(waiting_, [&](const Pair& pair) {
    const bool its = pair.first == peer || pair.second == peer;
    if (its) dropped.push_back(pair);
    return its;
  });
  return dropped;
}

}  // namespace ptrain::probe
