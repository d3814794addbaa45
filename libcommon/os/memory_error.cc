#include "libcommon/os/memory_error.h"

#include <array>
#include <cstddef>
#include <utility>

#include <fmt/format.h>
#include <sys/sysinfo.h>

#include "libcommon/os/share_of_machine.h"

namespace ptrain::os {
namespace {

std::string size_text(ByteCount size) {
  constexpr std::array kUnits{"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  auto value = static_cast<double>(size.value());
  std::size_t unit = 0;
  for (; value >= 1024 && unit + 1 < kUnits.size(); ++unit) value /= 1024;
  return fmt::format("{:.{}f} {}", value, unit == 0 ? 0 : 1, kUnits[unit]);
}

// sysinfo(2); nothing is said where it fails, which it does not.
std::uint64_t free_swap_bytes() {
  struct sysinfo system {};
  if (::sysinfo(&system) != 0) return 0;
  return std::uint64_t{system.freeswap} * system.mem_unit;
}

}  // namespace

Error memory_error(const std::string& purpose, std::optional<ByteCount> needed,
                   std::optional<ByteCount> available, std::string hint) {
  std::string text = "out of memory for " + purpose;
  if (needed) text += fmt::format(": {} needed", size_text(*needed));
  if (available) text += fmt::format("{}{} available", needed ? ", " : ": ", size_text(*available));
  return Error(ErrorKind::try_again, text, std::move(hint));
}

Error memory_error(const std::bad_alloc& failure, std::string hint) {
  const auto* sized = dynamic_cast<const AllocationFailure*>(&failure);
  return memory_error("one allocation", sized ? std::optional(sized->size()) : std::nullopt,
                      available_memory(), std::move(hint));
}

std::optional<ByteCount> available_memory() {
  const ShareOfMachine share = read_share_of_machine();
  if (!share.memory || share.memory_limited_by_cgroup) return share.memory;
  return ByteCount(share.memory->value() + free_swap_bytes());
}

void require_memory(const std::string& purpose, ByteCount needed, std::string hint) {
  const auto available = available_memory();
  if (!available || needed <= *available) return;
  throw memory_error(purpose, needed, available, std::move(hint));
}

}  // namespace ptrain::os
