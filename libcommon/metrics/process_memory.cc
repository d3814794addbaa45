#include "libcommon/metrics/process_memory.h"

#include <cerrno>
#include <fstream>
#include <string>

#include <fmt/format.h>

#include "libcommon/base/error.h"

namespace ptrain::metrics {
namespace {

// A line of /proc/self/status reads "VmRSS:     12345 kB" (proc(5)).
std::uint64_t status_bytes(const std::string& field) {
  constexpr const char* kPath = "/proc/self/status";
  std::ifstream file(kPath);
  if (!file) throw io_error(fmt::format("open {}", kPath), errno);
  std::string word;
  while (file >> word) {
    std::uint64_t kibibytes = 0;
    if (word == field + ":" && file >> kibibytes) return kibibytes * 1024;
  }
  throw Error(ErrorKind::io, fmt::format("{} has no {}", kPath, field));
}

}  // namespace

std::uint64_t rss_bytes() { return status_bytes("VmRSS"); }
std::uint64_t peak_rss_bytes() { return status_bytes("VmHWM"); }

}  // namespace ptrain::metrics
