// How much of this machine the process may use: fewer processors than there are where a container's
// quota or an affinity says so, and less memory where a container has a limit. A rented core is the
// tenth of a host whose /proc shows all of it. Read once; a value.

#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "libcommon/base/units.h"

namespace ptrain::os {

struct ShareOfMachine {
  int processors = 1;                          // that the machine has
  int permitted = 1;                           // of them, by sched_setaffinity(2)
  std::optional<double> quota = std::nullopt;  // processors, in parts of one, by the control groups
  std::optional<ByteCount> memory =
      std::nullopt;                       // that can be had now, nullopt where nothing says it
  bool memory_limited_by_cgroup = false;  // else it is what the machine has available

  // As many as can run at once, at least one; a part of a processor is worth one.
  int threads() const;
};

// Reads /proc and the control groups. `root` is prefixed to every path that is read, for tests;
// affinity and the number of processors are the process's own. Files that are not there or cannot
// be read limit nothing.
ShareOfMachine read_share_of_machine(const std::filesystem::path& root = "/");

// Why as many threads were chosen.
enum class ThreadsBy { machine, request, size_of_work };

// "2 threads (cgroup quota 1.5 of 8 processors), 3.1 GiB of memory (cgroup limit)": for people,
// with the number of threads that were chosen.
std::string describe(const ShareOfMachine& share, int threads, ThreadsBy by);

}  // namespace ptrain::os
