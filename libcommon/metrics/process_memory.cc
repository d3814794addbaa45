#include "libcommon/metrics/process_memory.h"

#include <fstream>
#include <string>

namespace ptrain::metrics {
namespace {

// A line of /proc/self/status reads "VmRSS:     12345 kB" (proc(5)).
std::uint64_t status_bytes(const std::string& field) {
  std::ifstream file("/proc/self/status");
  std::string word;
  while (file >> word) {
    std::uint64_t kibibytes = 0;
    if (word == field + ":" && file >> kibibytes) return kibibytes * 1024;
  }
  return 0;
}

}  // namespace

std::uint64_t rss_bytes() { return status_bytes("VmRSS"); }
std::uint64_t peak_rss_bytes() { return status_bytes("VmHWM"); }

}  // namespace ptrain::metrics
