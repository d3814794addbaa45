#include "tests/crash/disk_model.h"

#include <functional>

#include "tests/crash/outcomes.h"

namespace ptrain::crash {

namespace fs = std::filesystem;

std::uint64_t fingerprint(const DiskImage& image) {
  std::uint64_t sum = 0;
  for (const auto& [path, contents] : image) {
    const std::uint64_t of_path = std::hash<std::string>{}(path.string());
    // Odd multipliers, so that two files that swap their contents make a difference.
    sum = sum * 0x9e3779b97f4a7c15 + of_path * 31 + (contents ? contents->fingerprint : 1);
  }
  return sum;
}

DiskModel::DiskModel(const DiskImage& image) {
  directories_[kRoot];
  std::map<fs::path, Node> nodes{{"/", kRoot}};
  for (const auto& [path, contents] : image) {  // parents come first
    const Node parent = nodes.at(path.parent_path());
    const std::string name = path.filename().string();
    if (contents) {
      files_[make_file(parent, name)] = {contents, contents, {}};
    } else {
      nodes[path] = make_directory(parent, name);
    }
  }
  for (auto& [node, directory] : directories_) directory.durable = directory.now;
  unsynced_.clear();
}

std::optional<DiskModel::Node> DiskModel::find(Node directory, const std::string& name) const {
  const Entries& found = entries(directory);
  const auto entry = found.find(name);
  return entry != found.end() ? std::optional(entry->second) : std::nullopt;
}

const std::map<std::string, DiskModel::Node>& DiskModel::entries(Node directory) const {
  return directories_.at(directory).now;
}

DiskModel::Node DiskModel::make_file(Node directory, const std::string& name) {
  const Contents empty = contents_of({});
  files_[next_] = {empty, empty, {}};
  change_directories({{directory, name, next_}});
  return next_++;
}

DiskModel::Node DiskModel::make_directory(Node directory, const std::string& name) {
  directories_[next_];
  change_directories({{directory, name, next_}});
  return next_++;
}

void DiskModel::rename(Node from, const std::string& old_name, Node to,
                       const std::string& new_name) {
  const Node node = *find(from, old_name);
  change_directories({{from, old_name, std::nullopt}, {to, new_name, node}});
}

void DiskModel::remove(Node directory, const std::string& name) {
  change_directories({{directory, name, std::nullopt}});
}

void DiskModel::change(Node file, FileChange change) {
  File& changed = files_.at(file);
  changed.now = apply_change(changed.now, change);
  changed.unsynced.push_back(std::move(change));
}

void DiskModel::sync_file(Node file) {
  File& synced = files_.at(file);
  synced.durable = synced.now;
  synced.unsynced.clear();
}

void DiskModel::sync_directory(Node directory) {
  for (DirectoryChange& change : unsynced_) {
    std::erase_if(change, [&](const Assignment& a) {
      if (a.directory != directory) return false;
      assign(directories_.at(directory).durable, a);
      return true;
    });
  }
  std::erase_if(unsynced_, [](const DirectoryChange& change) { return change.empty(); });
}

void DiskModel::change_directories(DirectoryChange change) {
  for (const Assignment& a : change) assign(directories_.at(a.directory).now, a);
  unsynced_.push_back(std::move(change));
}

void DiskModel::assign(Entries& entries, const Assignment& assignment) {
  if (assignment.node) {
    entries[assignment.name] = *assignment.node;
  } else {
    entries.erase(assignment.name);
  }
}

void DiskModel::collect(Node directory, const fs::path& path,
                        const std::map<Node, Entries>& entries,
                        const std::map<Node, Contents>& contents, DiskImage& image) const {
  for (const auto& [name, node] : entries.at(directory)) {
    if (!is_directory(node)) {
      image[path / name] = contents.at(node);
      continue;
    }
    image[path / name] = nullptr;
    collect(node, path / name, entries, contents, image);
  }
}

DiskImage DiskModel::live() const {
  std::map<Node, Entries> entries;
  std::map<Node, Contents> contents;
  for (const auto& [node, directory] : directories_) entries[node] = directory.now;
  for (const auto& [node, file] : files_) contents[node] = file.now;
  DiskImage image;
  collect(kRoot, "/", entries, contents, image);
  return image;
}

DiskImage DiskModel::durable() const {
  std::map<Node, Entries> entries;
  std::map<Node, Contents> contents;
  for (const auto& [node, directory] : directories_) entries[node] = directory.durable;
  for (const auto& [node, file] : files_) contents[node] = file.durable;
  DiskImage image;
  collect(kRoot, "/", entries, contents, image);
  return image;
}

std::vector<DiskImage> DiskModel::crash_states(std::mt19937_64& random) const {
  // First each directory change, then each file with unsynced data.
  std::vector<std::size_t> options(unsynced_.size(), 2);
  std::vector<std::pair<Node, std::vector<Contents>>> torn;
  for (const auto& [node, file] : files_) {
    if (file.unsynced.empty()) continue;
    torn.emplace_back(node, torn_states(file.durable, file.unsynced, random));
    options.push_back(torn.back().second.size());
  }
  std::map<Node, Entries> durable_entries;
  std::map<Node, Contents> durable_contents;
  for (const auto& [node, directory] : directories_) durable_entries[node] = directory.durable;
  for (const auto& [node, file] : files_) durable_contents[node] = file.durable;

  std::vector<DiskImage> images;
  for (const std::vector<std::size_t>& outcome : outcomes(options, random)) {
    std::map<Node, Entries> entries = durable_entries;
    std::map<Node, Contents> contents = durable_contents;
    for (std::size_t i = 0; i < unsynced_.size(); ++i) {
      if (outcome[i] == 0) continue;
      for (const Assignment& a : unsynced_[i]) assign(entries.at(a.directory), a);
    }
    for (std::size_t i = 0; i < torn.size(); ++i) {
      contents.at(torn[i].first) = torn[i].second[outcome[unsynced_.size() + i]];
    }
    DiskImage image;
    collect(kRoot, "/", entries, contents, image);
    images.push_back(std::move(image));
  }
  return images;
}

}  // namespace ptrain::crash
