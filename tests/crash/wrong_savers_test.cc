// That the exploration finds the mistakes for which it was made: savers that are wrong in
// one classic way each, and the same saver without a mistake.

#include <algorithm>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libcommon/base/error.h"
#include "libcommon/ckpt/store.h"
#include "tests/crash/crash_storage.h"
#include "tests/crash/exploration.h"
#include "tests/unit/ckpt/sample_checkpoint.h"

namespace ptrain::crash {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

namespace fs = std::filesystem;

const fs::path kFolder = "/ckpt";
const Step kStep(10);

enum class Mistake {
  none,
  files_not_synced,
  renamed_before_synced,
  written_in_place,
  manifest_first,
  folder_not_synced,
  parent_not_synced,
  old_manifest_kept,
};

// A checkpoint as the files of its folder, the manifest last, and its id.
struct Files {
  std::vector<std::pair<std::string, Contents>> list;
  ckpt::CheckpointId id;
};

ckpt::SampleCheckpoint sample(std::uint64_t seed) {
  return ckpt::SampleCheckpoint(kStep, {.seed = seed, .layers = 1});
}

Files files_of(const ckpt::SampleCheckpoint& checkpoint) {
  Files files;
  CrashStorage disk;
  ckpt::CheckpointStore store(disk, kFolder, "good");
  files.id = checkpoint.save(store, {1});
  for (const auto& [path, contents] : disk.model().live()) {
    if (contents) files.list.emplace_back(path.filename().string(), contents);
  }
  std::stable_partition(files.list.begin(), files.list.end(),
                        [](const auto& file) { return file.first != "manifest.json"; });
  return files;
}

void write_file(os::Storage& disk, const fs::path& path, const Contents& contents,
                Mistake mistake) {
  const bool in_place = mistake == Mistake::written_in_place;
  const fs::path temporary = in_place ? path : fs::path(path.string() + ".new");
  disk.remove(temporary);
  const auto file = disk.create(temporary);
  // In two pieces, as any file of some size is.
  const auto bytes = std::span(contents->bytes);
  file->append(bytes.first(bytes.size() / 2));
  file->append(bytes.subspan(bytes.size() / 2));
  const bool late = mistake == Mistake::renamed_before_synced;
  if (!late && mistake != Mistake::files_not_synced) file->sync();
  if (!in_place) disk.rename(temporary, path);
  if (late) file->sync();
}

void save(const World& world, Files files, Mistake mistake) {
  const fs::path folder = kFolder / ckpt::step_name(kStep);
  world.promises.withdrawn(kFolder, kStep);
  world.disk.create_directory(kFolder);
  world.disk.sync_directory("/");
  world.disk.create_directory(folder);
  if (mistake != Mistake::parent_not_synced) world.disk.sync_directory(kFolder);
  if (mistake != Mistake::old_manifest_kept && mistake != Mistake::manifest_first) {
    world.disk.remove(folder / "manifest.json");
    world.disk.sync_directory(folder);
  }
  if (mistake == Mistake::manifest_first) std::ranges::reverse(files.list);
  for (const auto& [name, contents] : files.list) {
    // Before the manifest, once, everything else; after it, once more.
    const bool sync = mistake != Mistake::folder_not_synced;
    if (name == "manifest.json" && sync) world.disk.sync_directory(folder);
    write_file(world.disk, folder / name, contents, mistake);
    if (name == "manifest.json" && sync) world.disk.sync_directory(folder);
  }
  if (mistake == Mistake::manifest_first) world.disk.sync_directory(folder);
  world.promises.saved(kFolder, kStep, files.id);
}

// Saves a step; first where there is none, or over the same step with other bytes.
std::vector<std::string> violations_of(Mistake mistake, bool over_another) {
  const Files old = files_of(sample(1));
  const Files files = files_of(sample(2));
  const Scenario scenario{"saver",
                          [&](const World& world) {
                            world.promises.watch(kFolder);
                            if (over_another) save(world, old, Mistake::none);
                          },
                          [&](const World& world) { save(world, files, mistake); }};
  return crash_everywhere(scenario).violations;
}

TEST(WrongSavers, TheSaverWithoutAMistakePasses) {
  EXPECT_THAT(violations_of(Mistake::none, false), IsEmpty());
  EXPECT_THAT(violations_of(Mistake::none, true), IsEmpty());
}

TEST(WrongSavers, FilesThatAreNotSyncedAreFound) {
  EXPECT_THAT(violations_of(Mistake::files_not_synced, false), Contains(HasSubstr("not whole")));
}

TEST(WrongSavers, ARenameBeforeTheSyncIsFound) {
  EXPECT_THAT(violations_of(Mistake::renamed_before_synced, true),
              Contains(HasSubstr("not whole")));
}

TEST(WrongSavers, WritingUnderTheFinalNameIsFound) {
  EXPECT_THAT(violations_of(Mistake::written_in_place, false), Contains(HasSubstr("not whole")));
}

TEST(WrongSavers, AManifestBeforeItsFilesIsFound) {
  EXPECT_THAT(violations_of(Mistake::manifest_first, false), Contains(HasSubstr("is not here")));
}

TEST(WrongSavers, AFolderThatIsNotSyncedIsFound) {
  EXPECT_THAT(violations_of(Mistake::folder_not_synced, false),
              Contains(HasSubstr("was saved, and is not there")));
}

TEST(WrongSavers, AParentThatIsNotSyncedIsFound) {
  EXPECT_THAT(violations_of(Mistake::parent_not_synced, false),
              Contains(HasSubstr("was saved, and is not there")));
}

TEST(WrongSavers, AnOldManifestOverNewFilesIsFound) {
  EXPECT_THAT(violations_of(Mistake::old_manifest_kept, true), Contains(HasSubstr("not whole")));
}

enum class RemovalMistake { none, manifest_last, manifest_not_synced, parent_not_synced };

std::vector<std::string> violations_of(RemovalMistake mistake) {
  const Files files = files_of(sample(1));
  const auto remove = [&](const World& world) {
    const fs::path folder = kFolder / ckpt::step_name(kStep);
    world.promises.withdrawn(kFolder, kStep);
    if (mistake != RemovalMistake::manifest_last && world.disk.remove(folder / "manifest.json") &&
        mistake != RemovalMistake::manifest_not_synced) {
      world.disk.sync_directory(folder);
    }
    for (const auto& [name, contents] : files.list) world.disk.remove(folder / name);
    world.disk.remove(folder);
    if (mistake != RemovalMistake::parent_not_synced) world.disk.sync_directory(kFolder);
    world.promises.removed(kFolder, kStep);
  };
  const auto prepare = [&](const World& world) {
    world.promises.watch(kFolder);
    save(world, files, Mistake::none);
  };
  return crash_everywhere({"remover", prepare, remove}).violations;
}

TEST(WrongRemovers, TheOneWithoutAMistakePasses) {
  EXPECT_THAT(violations_of(RemovalMistake::none), IsEmpty());
}

TEST(WrongRemovers, AManifestThatGoesLastIsFound) {
  EXPECT_THAT(violations_of(RemovalMistake::manifest_last), Contains(HasSubstr("is not here")));
}

TEST(WrongRemovers, AManifestWhoseRemovalIsNotSyncedFirstIsFound) {
  EXPECT_THAT(violations_of(RemovalMistake::manifest_not_synced),
              Contains(HasSubstr("is not here")));
}

TEST(WrongRemovers, AFolderThatComesBackEmptyIsNoCheckpoint) {
  EXPECT_THAT(violations_of(RemovalMistake::parent_not_synced), IsEmpty());
}

// A saver that syncs a file again after a failure believes that it is safe.
TEST(WrongSavers, ASecondSyncAfterAFailedOneIsFound) {
  const auto run = [](const World& world) {
    const auto file = world.disk.create("/x");
    file->append(std::vector(10, std::byte('x')));
    try {
      file->sync();
    } catch (const Error&) {
      file->sync();
    }
  };
  EXPECT_THAT(fail_everywhere({"saver", [](const World&) {}, run}).violations,
              Contains(HasSubstr("a second sync")));
}

}  // namespace
}  // namespace ptrain::crash
