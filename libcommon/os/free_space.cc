#include "libcommon/os/free_space.h"

#include <cstdint>
#include <iterator>
#include <utility>

#include <fmt/format.h>
#include <sys/statvfs.h>

#include "libcommon/base/error.h"

namespace ptrain::os {
namespace {

// In powers of 1000, as disks are sold.
std::string size_text(ByteCount size) {
  constexpr const char* kUnits[] = {"kB", "MB", "GB", "TB", "PB", "EB"};
  double value = static_cast<double>(size.value()) / 1000;
  std::size_t unit = 0;
  for (; value >= 999.95 && unit + 1 < std::size(kUnits); ++unit) value /= 1000;
  return fmt::format("{:.1f} {}", value, kUnits[unit]);
}

}  // namespace

std::optional<ByteCount> free_space(const std::filesystem::path& path) {
  struct statvfs disk {};
  // Some that are not disks have no size at all, and take what comes.
  if (::statvfs(path.c_str(), &disk) != 0 || disk.f_blocks == 0) return std::nullopt;
  return ByteCount(std::uint64_t{disk.f_bavail} * disk.f_frsize);
}

void require_space(const std::string& purpose, const std::filesystem::path& path, ByteCount needed,
                   std::string hint) {
  const auto there = free_space(path);
  if (!there || needed <= *there) return;
  throw Error(ErrorKind::io,
              fmt::format("no room for {} in {}: {} needed, {} free", purpose, path.string(),
                          size_text(needed), size_text(*there)),
              std::move(hint));
}

}  // namespace ptrain::os
