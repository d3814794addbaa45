#include "libcommon/os/cgroup.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <limits>

namespace ptrain::os {
namespace {

constexpr std::uint64_t kLargestPage = 64 * 1024;

std::string_view without_newline(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  return text;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

std::vector<std::string> split_words(std::string_view text) {
  std::vector<std::string> words;
  for (const std::string_view word : split(text, ',')) {
    if (!word.empty()) words.emplace_back(word);
  }
  return words;
}

template <class Integer>
std::optional<Integer> parse_integer(std::string_view text) {
  text = without_newline(text);
  Integer value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// mountinfo writes blanks and backslashes of a path as \ and three octal digits.
std::string unescape(std::string_view text) {
  const auto is_octal = [](char c) { return c >= '0' && c <= '7'; };
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() &&
        std::all_of(&text[i + 1], &text[i + 1] + 3, is_octal)) {
      result += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 +
                                  (text[i + 3] - '0'));
      i += 3;
    } else {
      result += text[i];
    }
  }
  return result;
}

std::optional<double> parse_quota(std::string_view quota, std::string_view period) {
  const auto quota_us = parse_integer<std::int64_t>(quota);
  const auto period_us = parse_integer<std::int64_t>(period);
  if (!quota_us || !period_us || *quota_us <= 0 || *period_us <= 0) return std::nullopt;
  return static_cast<double>(*quota_us) / static_cast<double>(*period_us);
}

bool has(const std::vector<std::string>& controllers, std::string_view wanted) {
  return std::find(controllers.begin(), controllers.end(), wanted) != controllers.end();
}

// Where a group lies below what a mount shows: "" when it is not below it. A group outside of the
// process's namespace is written with "/..".
std::string below(std::string_view group, std::string_view root) {
  if (group.substr(0, 3) == "/..") return "";
  if (root == "/") root = "";
  if (group == "/") group = "";
  if (group.substr(0, root.size()) != root) return "";
  group.remove_prefix(root.size());
  return group.empty() || group.front() == '/' ? std::string(group) : "";
}

}  // namespace

std::vector<CgroupMembership> parse_cgroup_memberships(std::string_view text) {
  std::vector<CgroupMembership> result;
  for (const std::string_view line : split(text, '\n')) {
    // HIERARCHY:CONTROLLERS:PATH, and a path may have colons
    const std::size_t first = line.find(':');
    if (first == std::string_view::npos) continue;
    const std::size_t second = line.find(':', first + 1);
    if (second == std::string_view::npos) continue;
    result.push_back({.controllers = split_words(line.substr(first + 1, second - first - 1)),
                      .path = std::string(line.substr(second + 1))});
  }
  return result;
}

std::vector<CgroupMount> parse_cgroup_mounts(std::string_view mountinfo) {
  std::vector<CgroupMount> result;
  for (const std::string_view line : split(mountinfo, '\n')) {
    // ID PARENT MAJOR:MINOR ROOT POINT OPTIONS [TAG]... - TYPE SOURCE OPTIONS-OF-THE-FILE-SYSTEM
    const std::vector<std::string_view> words = split(line, ' ');
    const auto dash = std::find(words.begin(), words.end(), "-");
    if (dash - words.begin() < 6 || words.end() - dash < 4) continue;
    const std::string_view type = dash[1];
    if (type != "cgroup" && type != "cgroup2") continue;
    const bool unified = type == "cgroup2";
    result.push_back({.unified = unified,
                      .controllers = unified ? std::vector<std::string>{} : split_words(dash[3]),
                      .root = unescape(words[3]),
                      .point = unescape(words[4])});
  }
  return result;
}

std::vector<CgroupFolder> cgroup_folders(const std::vector<CgroupMembership>& memberships,
                                         const std::vector<CgroupMount>& mounts,
                                         std::string_view controller) {
  std::vector<CgroupFolder> result;
  for (const CgroupMembership& membership : memberships) {
    const bool unified = membership.controllers.empty();
    if (!unified && !has(membership.controllers, controller)) continue;
    const auto mount = std::find_if(mounts.begin(), mounts.end(), [&](const CgroupMount& m) {
      return m.unified == unified && (unified || has(m.controllers, controller));
    });
    if (mount == mounts.end()) continue;
    std::string nested = below(membership.path, mount->root);
    while (!nested.empty()) {
      result.push_back({unified, mount->point + nested});
      nested.resize(nested.rfind('/'));
    }
    result.push_back({unified, mount->point});
  }
  return result;
}

std::optional<double> parse_cpu_max(std::string_view text) {
  const std::vector<std::string_view> words = split(without_newline(text), ' ');
  if (words.size() != 2) return std::nullopt;
  return parse_quota(words[0], words[1]);  // "max" is no number
}

std::optional<double> parse_cfs_quota(std::string_view quota_us, std::string_view period_us) {
  return parse_quota(quota_us, period_us);
}

std::optional<ByteCount> parse_memory_limit(std::string_view text) {
  constexpr std::uint64_t kNone = std::numeric_limits<std::int64_t>::max() - kLargestPage;
  const auto bytes = parse_integer<std::uint64_t>(text);  // "max" is no number
  if (!bytes || *bytes >= kNone) return std::nullopt;
  return ByteCount(*bytes);
}

}  // namespace ptrain::os
