// A disk in memory that knows what of it is durable, and enumerates the states in which a
// crash at this moment may leave it.
//
// The rules, each as weak as what programs can rely on:
// - A file's data and length: see torn_file.h. Durable by sync_file().
// - A change of a directory (an entry made, renamed, removed) is durable by
//   sync_directory() of that directory. Without it each change may be there or not,
//   independently of the others and of their order: POSIX orders nothing, and ext4 and
//   XFS order what one journal transaction happens to hold.
// - A rename is one change: both names in one directory, or none. Journalling file systems
//   keep it so, and without it no file could ever be replaced. Between two directories it is
//   one change until one of the two is synced alone.
// - Syncing a file makes nothing durable but the file: neither its entry nor the data of
//   others. (ext4 often does more. That is its habit, not its promise.)
// - Syncing a directory does not sync the entry by which its parent knows it.
//
// One thread. A value: copying it copies the disk.

#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "tests/crash/torn_file.h"

namespace ptrain::crash {

// A tree as a program sees it: what lies below the root, by path. Null: a directory.
using DiskImage = std::map<std::filesystem::path, Contents>;
// Equal for equal trees.
std::uint64_t fingerprint(const DiskImage& image);

class DiskModel {
 public:
  using Node = std::uint64_t;  // a file or directory, whatever its name
  static constexpr Node kRoot = 1;

  // All of the image is durable.
  explicit DiskModel(const DiskImage& image = {});

  bool is_directory(Node node) const { return directories_.contains(node); }
  std::optional<Node> find(Node directory, const std::string& name) const;
  const std::map<std::string, Node>& entries(Node directory) const;
  const Contents& contents(Node file) const { return files_.at(file).now; }

  Node make_file(Node directory, const std::string& name);
  Node make_directory(Node directory, const std::string& name);
  void rename(Node from, const std::string& old_name, Node to, const std::string& new_name);
  void remove(Node directory, const std::string& name);
  void change(Node file, FileChange change);
  void sync_file(Node file);
  void sync_directory(Node directory);

  DiskImage live() const;     // as the running machine sees it
  DiskImage durable() const;  // what is left when all that was not synced is lost
  // Bounded; both of the above are among them.
  std::vector<DiskImage> crash_states(std::mt19937_64& random) const;

 private:
  using Entries = std::map<std::string, Node>;
  struct Directory {
    Entries now;
    Entries durable;
  };
  struct File {
    Contents now;
    Contents durable;
    std::vector<FileChange> unsynced;
  };
  struct Assignment {
    Node directory = 0;
    std::string name;
    std::optional<Node> node;  // empty: no such entry any more
  };
  using DirectoryChange = std::vector<Assignment>;  // all of them or none

  void change_directories(DirectoryChange change);
  static void assign(Entries& entries, const Assignment& assignment);
  void collect(Node directory, const std::filesystem::path& path,
               const std::map<Node, Entries>& entries, const std::map<Node, Contents>& contents,
               DiskImage& image) const;

  std::map<Node, Directory> directories_;
  std::map<Node, File> files_;
  std::vector<DirectoryChange> unsynced_;  // in the order they were made
  Node next_ = kRoot + 1;
};

}  // namespace ptrain::crash
