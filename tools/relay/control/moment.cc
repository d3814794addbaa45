#include "tools/relay/control/moment.h"

#include <algorithm>
#include <ctime>
#include <fstream>

namespace ptrain::relay {

Duration elapsed(const Moment& from, const Moment& to) {
  const bool same_boot = !from.boot_id.empty() && from.boot_id == to.boot_id;
  const auto passed = same_boot ? to.boot - from.boot : to.wall - from.wall;
  // Centuries would not fit into nanoseconds.
  constexpr std::chrono::milliseconds kLong = std::chrono::hours(24 * 365);
  return std::clamp(passed, std::chrono::milliseconds(0), kLong);
}

Moment this_moment() {
  using std::chrono::milliseconds;
  timespec boot{};
  ::clock_gettime(CLOCK_BOOTTIME, &boot);
  Moment moment{
      .wall = std::chrono::floor<milliseconds>(std::chrono::system_clock::now()).time_since_epoch(),
      .boot = std::chrono::seconds(boot.tv_sec) + milliseconds(boot.tv_nsec / 1000000),
      .boot_id = {}};
  std::getline(std::ifstream("/proc/sys/kernel/random/boot_id"), moment.boot_id);
  return moment;
}

}  // namespace ptrain::relay
