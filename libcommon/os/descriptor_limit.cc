#include "libcommon/os/descriptor_limit.h"

#include <algorithm>
#include <filesystem>
#include <string>
#include <system_error>

#include <sys/resource.h>

namespace ptrain::os {
namespace {

// Where the system names no limit, some of the libraries below would make tables of that size.
constexpr rlim_t kEnough = 1u << 20;
constexpr std::size_t kUsual = 1024;

}  // namespace

void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = std::max(limit.rlim_cur, std::min(limit.rlim_max, kEnough));
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

std::size_t descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return kUsual;
  return static_cast<std::size_t>(std::min(limit.rlim_cur, kEnough));
}

std::size_t descriptors_left() {
  const std::size_t limit = descriptor_limit();
  std::size_t left = limit;
  std::error_code error;
  for (std::filesystem::directory_iterator at("/proc/self/fd", error), end; !error && at != end;
       at.increment(error)) {
    // The limit is one of numbers: what was inherited beyond a lower one takes none of them.
    if (std::stoul(at->path().filename()) < limit && left > 0) --left;
  }
  if (error) return error == std::errc::no_such_file_or_directory ? limit : 0;
  return left + 1;  // the one that was needed to look
}

}  // namespace ptrain::os
