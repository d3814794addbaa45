#include "libcommon/plan/links_file.h"

#include <algorithm>
#include <unordered_set>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "libcommon/base/error.h"
#include "libcommon/base/strict_json.h"
#include "libcommon/plan/json_entry.h"

namespace ptrain::plan {
namespace {

constexpr const char* kKind = "links";
constexpr std::uint64_t kVersion = 1;

using Names = std::unordered_set<std::string>;

void check_count(std::size_t count, std::size_t most, const char* list, std::string_view where) {
  if (count <= most) return;
  throw Error(ErrorKind::corrupt, fmt::format("{}: {} {}, at most {}", where, count, list, most));
}

// When an entry was measured: with the rest, unless it says otherwise.
double read_time(JsonEntry& entry, double file_time_s) {
  if (!entry.has("time_s")) return file_time_s;
  const double time_s = entry.not_negative("time_s");
  if (time_s > file_time_s) {
    entry.fail("time_s", fmt::format("no later than the file's own, {}", file_time_s));
  }
  return time_s;
}

LinkedHost read_host(JsonEntry entry, double file_time_s) {
  LinkedHost host{.name = entry.name("name")};
  host.site = entry.has("site") ? entry.name("site") : host.name;
  host.out_bytes_per_s = entry.positive_if_any("out_bytes_per_s");
  host.in_bytes_per_s = entry.positive_if_any("in_bytes_per_s");
  host.failed = entry.text_if_any("failed");
  host.time_s = read_time(entry, file_time_s);
  entry.finish();
  return host;
}

MeasuredWay read_way(JsonEntry entry, double file_time_s) {
  MeasuredWay way{.from = entry.name("from"), .to = entry.name("to")};
  way.round_trip_s = entry.positive_if_any("round_trip_s");
  way.rate_bytes_per_s = entry.positive_if_any("rate_bytes_per_s");
  way.failed = entry.text_if_any("failed");
  way.time_s = read_time(entry, file_time_s);
  entry.finish();
  return way;
}

enum class Itself { allowed, refused };

std::vector<MeasuredWay> read_ways(JsonEntry& file, const char* list, std::string_view where,
                                   const Names& ends, Itself itself, double file_time_s) {
  const nlohmann::json& entries = file.list(list);
  std::vector<MeasuredWay> ways;
  ways.reserve(entries.size());
  Names seen;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const JsonEntry entry(entries[i], {.file = where, .list = list, .index = i});
    ways.push_back(read_way(entry, file_time_s));
    const MeasuredWay& way = ways.back();
    if (!ends.contains(way.from)) entry.fail("from", "one that hosts[] has");
    if (!ends.contains(way.to)) entry.fail("to", "one that hosts[] has");
    if (itself == Itself::refused && way.from == way.to) entry.fail("to", "another host");
    if (!seen.insert(way.from + ' ' + way.to).second) {
      entry.fail("to", fmt::format("a way that is not there yet: {} to {} is given twice", way.from,
                                   way.to));
    }
  }
  return ways;
}

nlohmann::ordered_json to_json(const MeasuredWay& way, double file_time_s) {
  nlohmann::ordered_json json{{"from", way.from}, {"to", way.to}};
  if (way.round_trip_s) json["round_trip_s"] = *way.round_trip_s;
  if (way.rate_bytes_per_s) json["rate_bytes_per_s"] = *way.rate_bytes_per_s;
  if (!way.failed.empty()) json["failed"] = way.failed;
  if (way.time_s != file_time_s) json["time_s"] = way.time_s;
  return json;
}

nlohmann::ordered_json to_json(const LinkedHost& host, double file_time_s) {
  nlohmann::ordered_json json{{"name", host.name}};
  if (host.site != host.name) json["site"] = host.site;
  if (host.out_bytes_per_s) json["out_bytes_per_s"] = *host.out_bytes_per_s;
  if (host.in_bytes_per_s) json["in_bytes_per_s"] = *host.in_bytes_per_s;
  if (!host.failed.empty()) json["failed"] = host.failed;
  if (host.time_s != file_time_s) json["time_s"] = host.time_s;
  return json;
}

// A line an entry: people read it, and compare two of them.
template <class Entries>
std::string lines_of(const Entries& entries, double file_time_s) {
  std::string lines;
  for (const auto& entry : entries) {
    lines += lines.empty() ? "\n  " : ",\n  ";
    lines +=
        to_json(entry, file_time_s).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  }
  return "[" + lines + "]";
}

}  // namespace

bool is_host_name(std::string_view text) {
  return !text.empty() && text.size() <= kMaxNameChars &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '.' || c == '_' || c == '-';
         });
}

Links read_links(std::string_view json, const std::string& where, const LinksLimits& limits) {
  const nlohmann::json value = parse_strict_json(json, where);
  JsonEntry file(value, {.file = where});
  file.kind(kKind, kVersion);
  Links links{.time_s = file.not_negative("time_s")};

  const nlohmann::json& hosts = file.list("hosts");
  if (hosts.empty()) file.fail("hosts", "one host at least");
  check_count(hosts.size(), limits.hosts, "hosts", where);
  check_count(file.list("sites").size(), limits.site_pairs, "sites", where);
  check_count(file.list("pairs").size(), limits.pairs, "pairs", where);

  Names names;
  Names sites;
  for (std::size_t i = 0; i < hosts.size(); ++i) {
    const JsonEntry entry(hosts[i], {.file = where, .list = "hosts", .index = i});
    links.hosts.push_back(read_host(entry, links.time_s));
    if (!names.insert(links.hosts.back().name).second) {
      entry.fail("name", "one that no other host has");
    }
    sites.insert(links.hosts.back().site);
  }
  links.sites = read_ways(file, "sites", where, sites, Itself::allowed, links.time_s);
  links.pairs = read_ways(file, "pairs", where, names, Itself::refused, links.time_s);
  file.finish();
  return links;
}

std::string write_links(const Links& links) {
  const nlohmann::json time_s = links.time_s;
  std::string text = fmt::format("{{\"kind\": \"{}\", \"version\": {}, \"time_s\": {},\n", kKind,
                                 kVersion, time_s.dump());
  text += fmt::format(" \"hosts\": {},\n", lines_of(links.hosts, links.time_s));
  text += fmt::format(" \"sites\": {},\n", lines_of(links.sites, links.time_s));
  text += fmt::format(" \"pairs\": {}}}\n", lines_of(links.pairs, links.time_s));
  return text;
}

}  // namespace ptrain::plan
