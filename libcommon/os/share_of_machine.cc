#include "libcommon/os/share_of_machine.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string_view>

#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include "libcommon/os/cgroup.h"

namespace ptrain::os {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMostText = 1 << 20;      // mountinfo of a host with thousands of containers
constexpr int kMostProcessors = 1 << 16;        // beyond any kernel's
constexpr const char* kProcSelf = "proc/self";  // relative: below the root

// Files of /proc have no size to allocate by. Empty when the file cannot be read.
std::string read_text(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text;
  std::array<char, 4096> part{};
  while (text.size() < kMostText && (file.read(part.data(), part.size()), file.gcount() > 0)) {
    text.append(part.data(), static_cast<std::size_t>(file.gcount()));
  }
  return text;
}

int count_permitted(int processors) {
  // The kernel refuses a set that is smaller than its own, whose size it does not say.
  for (int size = 1024; size <= kMostProcessors; size *= 2) {
    const auto free_set = [](cpu_set_t* set) { CPU_FREE(set); };
    const std::unique_ptr<cpu_set_t, decltype(free_set)> set(CPU_ALLOC(size), free_set);
    if (!set) break;
    const std::size_t bytes = CPU_ALLOC_SIZE(size);
    if (::sched_getaffinity(0, bytes, set.get()) == 0) return CPU_COUNT_S(bytes, set.get());
  }
  return processors;
}

std::optional<ByteCount> available_memory(const fs::path& root) {
  constexpr std::string_view kKey = "\nMemAvailable:";
  const std::string text = "\n" + read_text(root / "proc/meminfo");
  const std::size_t found = text.find(kKey);
  if (found == std::string::npos) return std::nullopt;
  const char* digits = text.c_str() + found + kKey.size();
  return ByteCount(std::strtoull(digits, nullptr, 10) * 1024);  // "kB" are KiB
}

template <class T>
void lower(std::optional<T>& least, const std::optional<T>& other) {
  if (other && (!least || *other < *least)) least = other;
}

}  // namespace

int ShareOfMachine::threads() const {
  const double most = std::min<double>(permitted, quota.value_or(permitted));
  return std::max(1, static_cast<int>(std::ceil(most)));
}

ShareOfMachine read_share_of_machine(const fs::path& root) {
  ShareOfMachine share;
  share.processors = std::max(1, static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN)));
  share.permitted = count_permitted(share.processors);

  const auto memberships = parse_cgroup_memberships(read_text(root / kProcSelf / "cgroup"));
  const auto mounts = parse_cgroup_mounts(read_text(root / kProcSelf / "mountinfo"));
  for (const CgroupFolder& folder : cgroup_folders(memberships, mounts, "cpu")) {
    const fs::path at = root / fs::path(folder.path).relative_path();
    lower(share.quota, folder.unified ? parse_cpu_max(read_text(at / "cpu.max"))
                                      : parse_cfs_quota(read_text(at / "cpu.cfs_quota_us"),
                                                        read_text(at / "cpu.cfs_period_us")));
  }

  std::optional<ByteCount> limit;
  for (const CgroupFolder& folder : cgroup_folders(memberships, mounts, "memory")) {
    const fs::path at = root / fs::path(folder.path).relative_path();
    lower(limit, parse_memory_limit(
                     read_text(at / (folder.unified ? "memory.max" : "memory.limit_in_bytes"))));
  }
  share.memory = available_memory(root);
  share.memory_limited_by_cgroup = limit && (!share.memory || *limit < *share.memory);
  lower(share.memory, limit);
  return share;
}

std::string describe(const ShareOfMachine& share, int threads, ThreadsBy by) {
  const auto count = [](int n, const char* one, const char* many) {
    return fmt::format("{} {}", n, n == 1 ? one : many);
  };
  const std::string machine = count(share.processors, "processor", "processors");
  std::string text = count(threads, "thread", "threads");
  if (by == ThreadsBy::request && threads != share.threads()) {
    text += fmt::format(" (as told, on {})", machine);
  } else if (by == ThreadsBy::size_of_work && threads < share.threads()) {
    text += fmt::format(" (more would not speed up a job of this size, on {})", machine);
  } else if (share.quota && *share.quota < share.permitted) {
    text += fmt::format(" (cgroup quota {:.4g} of {})", *share.quota, machine);
  } else if (share.permitted < share.processors) {
    text += fmt::format(" (affinity to {} of {})", share.permitted, machine);
  } else {
    text += fmt::format(" on {}", machine);
  }
  if (share.memory) {
    text += fmt::format(", {:.1f} GiB of memory{}",
                        static_cast<double>(share.memory->value()) / (1 << 30),
                        share.memory_limited_by_cgroup ? " (cgroup limit)" : "");
  }
  return text;
}

}  // namespace ptrain::os
