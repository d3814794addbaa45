// What the kernel's text files say about control groups: which groups this process is in, where
// their folders are, and how much of the processors and the memory they grant. Pure functions
// over text; share_of_machine.h reads the files. Both hierarchies are known, the old one
// (version 1, a mount for each controller) and the unified one (version 2). Text that has not the
// form of proc(5), cgroups(7) and the kernel's cgroup-v2.rst grants everything: it sets no limit.

#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libcommon/base/units.h"

namespace ptrain::os {

// A line of /proc/self/cgroup. The unified hierarchy names no controllers.
struct CgroupMembership {
  std::vector<std::string> controllers;
  std::string path;
  bool operator==(const CgroupMembership&) const = default;
};

std::vector<CgroupMembership> parse_cgroup_memberships(std::string_view text);

// A line of /proc/self/mountinfo whose file system is cgroup or cgroup2.
struct CgroupMount {
  bool unified = false;
  std::vector<std::string> controllers;  // and other options of the old hierarchy
  std::string root;                      // the group that the mount point shows
  std::string point;
  bool operator==(const CgroupMount&) const = default;
};

std::vector<CgroupMount> parse_cgroup_mounts(std::string_view mountinfo);

// A folder of files that limit this process.
struct CgroupFolder {
  bool unified = false;
  std::string path;
  bool operator==(const CgroupFolder&) const = default;
};

// The process's own group in each hierarchy that has `controller`, and all that it is nested in as
// far as they are mounted: the least of their limits holds. A container may see its own group as
// the root, or a path that its mounts do not show; then the mount point is all that is known.
std::vector<CgroupFolder> cgroup_folders(const std::vector<CgroupMembership>& memberships,
                                         const std::vector<CgroupMount>& mounts,
                                         std::string_view controller);

// Processors that a group may use, in parts of one: cpu.max of version 2, and the two files of
// version 1, cpu.cfs_quota_us and cpu.cfs_period_us. nullopt: as many as there are.
std::optional<double> parse_cpu_max(std::string_view text);
std::optional<double> parse_cfs_quota(std::string_view quota_us, std::string_view period_us);

// memory.max of version 2, memory.limit_in_bytes of version 1. nullopt: no limit, for which
// version 1 writes the greatest whole number of pages.
std::optional<ByteCount> parse_memory_limit(std::string_view text);

}  // namespace ptrain::os
