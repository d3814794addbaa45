#include "libcommon/os/cgroup.h"

#include <gmock/gmock.h>

namespace ptrain::os {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr const char* kOldMounts =
    "24 1 0:22 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"
    "31 24 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"
    "32 31 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
    "33 31 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";

TEST(Cgroup, LinesOfBothHierarchiesAreMemberships) {
  EXPECT_THAT(
      parse_cgroup_memberships("4:cpu,cpuacct:/a/b:c\n1:name=systemd:/\n0::/user.slice\nnoise\n"),
      ElementsAre(CgroupMembership{{"cpu", "cpuacct"}, "/a/b:c"},
                  CgroupMembership{{"name=systemd"}, "/"}, CgroupMembership{{}, "/user.slice"}));
  EXPECT_THAT(parse_cgroup_memberships(""), IsEmpty());
}

TEST(Cgroup, MountsAreThoseOfControlGroupsAlone) {
  EXPECT_THAT(parse_cgroup_mounts(kOldMounts),
              ElementsAre(CgroupMount{.controllers = {"rw", "cpu", "cpuacct"},
                                      .root = "/",
                                      .point = "/sys/fs/cgroup/cpu,cpuacct"},
                          CgroupMount{.controllers = {"rw", "memory"},
                                      .root = "/",
                                      .point = "/sys/fs/cgroup/memory"}));
  // no optional field, several of them, and a blank in a path
  EXPECT_THAT(
      parse_cgroup_mounts("9 1 0:5 /a\\040b /c\\134d rw - cgroup2 cgroup rw\n"
                          "9 1 0:5 / /two rw shared:1 master:2 - cgroup2 cgroup rw\n"),
      ElementsAre(CgroupMount{.unified = true, .controllers = {}, .root = "/a b", .point = "/c\\d"},
                  CgroupMount{.unified = true, .controllers = {}, .root = "/", .point = "/two"}));
}

TEST(Cgroup, LinesThatAreCutOffAreNoMounts) {
  const std::string whole = "9 1 0:5 / /two rw shared:1 - cgroup2 cgroup rw";
  EXPECT_EQ(parse_cgroup_mounts(whole).size(), 1u);
  for (std::size_t length = 0; length + 3 < whole.size(); ++length) {
    EXPECT_THAT(parse_cgroup_mounts(whole.substr(0, length)), IsEmpty()) << length;
  }
}

TEST(Cgroup, FoldersGoFromTheOwnGroupToTheOutermost) {
  EXPECT_THAT(cgroup_folders(parse_cgroup_memberships("2:memory:/m\n4:cpu,cpuacct:/a/b\n"),
                             parse_cgroup_mounts(kOldMounts), "cpu"),
              ElementsAre(CgroupFolder{false, "/sys/fs/cgroup/cpu,cpuacct/a/b"},
                          CgroupFolder{false, "/sys/fs/cgroup/cpu,cpuacct/a"},
                          CgroupFolder{false, "/sys/fs/cgroup/cpu,cpuacct"}));
}

TEST(Cgroup, TheUnifiedHierarchyHasEveryController) {
  const auto memberships = parse_cgroup_memberships("0::/a\n");
  const auto mounts = parse_cgroup_mounts("9 1 0:5 / /cg rw - cgroup2 cgroup rw\n");
  for (const char* controller : {"cpu", "memory"}) {
    EXPECT_THAT(cgroup_folders(memberships, mounts, controller),
                ElementsAre(CgroupFolder{true, "/cg/a"}, CgroupFolder{true, "/cg"}));
  }
}

TEST(Cgroup, AContainerSeesWhatItsMountShows) {
  const auto folders = [](const char* group, const char* root) {
    const std::string mount = std::string("9 1 0:5 ") + root + " /cg rw - cgroup2 cgroup rw\n";
    return cgroup_folders(parse_cgroup_memberships(std::string("0::") + group + "\n"),
                          parse_cgroup_mounts(mount), "cpu");
  };
  const CgroupFolder point{true, "/cg"};
  EXPECT_THAT(folders("/docker/1", "/docker/1"), ElementsAre(point));
  EXPECT_THAT(folders("/docker/1/x", "/docker/1"), ElementsAre(CgroupFolder{true, "/cg/x"}, point));
  EXPECT_THAT(folders("/docker/12", "/docker/1"), ElementsAre(point));  // a neighbour
  EXPECT_THAT(folders("/", "/"), ElementsAre(point));
  EXPECT_THAT(folders("/../..", "/"), ElementsAre(point));  // outside of its namespace
}

TEST(Cgroup, AHierarchyThatIsNotMountedLimitsNothing) {
  EXPECT_THAT(cgroup_folders(parse_cgroup_memberships("4:cpu:/a\n0::/b\n"), {}, "cpu"), IsEmpty());
  EXPECT_THAT(cgroup_folders({}, parse_cgroup_mounts(kOldMounts), "cpu"), IsEmpty());
}

TEST(Cgroup, CpuMaxIsAQuotaOfAPeriod) {
  EXPECT_EQ(parse_cpu_max("150000 100000\n"), 1.5);
  EXPECT_EQ(parse_cpu_max("50000 100000"), 0.5);
  for (const char* none : {"max 100000\n", "", "\n", "100000", "0 100000", "-1 100000", "100000 0",
                           "1e5 100000", "100000 100000 1"}) {
    EXPECT_EQ(parse_cpu_max(none), std::nullopt) << none;
  }
}

TEST(Cgroup, AnOldQuotaOfMinusOneIsNone) {
  EXPECT_EQ(parse_cfs_quota("250000\n", "100000\n"), 2.5);
  EXPECT_EQ(parse_cfs_quota("-1\n", "100000\n"), std::nullopt);
  EXPECT_EQ(parse_cfs_quota("", ""), std::nullopt);
}

TEST(Cgroup, AMemoryLimitIsBytesOrNone) {
  EXPECT_EQ(parse_memory_limit("1073741824\n"), ByteCount(1073741824));
  EXPECT_EQ(parse_memory_limit("0\n"), ByteCount(0));
  EXPECT_EQ(parse_memory_limit("max\n"), std::nullopt);
  EXPECT_EQ(parse_memory_limit(""), std::nullopt);
  EXPECT_EQ(parse_memory_limit("9223372036854771712\n"), std::nullopt);  // version 1, 4 KiB pages
  EXPECT_EQ(parse_memory_limit("9223372036854710272\n"), std::nullopt);  // 64 KiB pages
  EXPECT_EQ(parse_memory_limit("18446744073709551616\n"), std::nullopt);
}

}  // namespace
}  // namespace ptrain::os
