#include "libcommon/data/data_outline.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "libcommon/base/error.h"
#include "libcommon/base/printable.h"
#include "libcommon/base/strict_json.h"

namespace ptrain::data {
namespace {

using nlohmann::json;

constexpr std::size_t kSampleDigits = 12;

std::string counted(std::uint64_t count, const char* what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

bool same_content(const ShardOutline& one, const ShardOutline& other) {
  return one.tokens == other.tokens && one.bits == other.bits && one.sample == other.sample;
}

std::string shown(const ShardOutline& shard) {
  return fmt::format("{} ({} of {} bits)", printable(shard.name), counted(shard.tokens, "token"),
                     shard.bits);
}

// "shard 2 is the first that differs: ..."; nothing where none of both lists does.
std::string first_difference(const DataOutline& ours, const DataOutline& theirs) {
  const std::size_t both = std::min(ours.first.size(), theirs.first.size());
  for (std::size_t i = 0; i < both; ++i) {
    const ShardOutline& here = ours.first[i];
    const ShardOutline& there = theirs.first[i];
    if (same_content(here, there)) continue;
    const bool alike = here.tokens == there.tokens && here.bits == there.bits;
    return fmt::format("shard {} is the first that differs: {} here, {} there", i + 1, shown(here),
                       alike ? printable(there.name) + " (as many others)" : shown(there));
  }
  if (both < ours.first.size()) return fmt::format("{} is only here", shown(ours.first[both]));
  if (both < theirs.first.size()) return fmt::format("{} is only there", shown(theirs.first[both]));
  return "";
}

}  // namespace

DataOutline outline_of(const TokenDataset& dataset) {
  DataOutline outline{
      .shards = dataset.shards().size(), .tokens = dataset.token_count(), .first = {}};
  for (const TokenShard& shard : dataset.shards()) {
    if (outline.first.size() == kMostOutlinedShards) break;
    const std::string name = printable(shard.path().filename().string());
    outline.first.push_back({.name = name.substr(0, kMaxOutlinedNameBytes),
                             .tokens = shard.token_count(),
                             .bits = 8 * bytes_per_token(shard.width()),
                             .sample = sample_digest(shard).substr(0, kSampleDigits)});
  }
  return outline;
}

json to_json(const DataOutline& outline) {
  json list = json::array();
  for (const ShardOutline& shard : outline.first) {
    list.push_back({{"name", shard.name},
                    {"tokens", shard.tokens},
                    {"bits", shard.bits},
                    {"sample", shard.sample}});
  }
  return {{"shards", outline.shards}, {"tokens", outline.tokens}, {"first", std::move(list)}};
}

std::optional<DataOutline> outline_from(const json& value) try {
  JsonObject object(value, "an outline of data");
  DataOutline outline{
      .shards = object.integer("shards"), .tokens = object.integer("tokens"), .first = {}};
  for (const json& each : object.array("first")) {
    if (outline.first.size() == kMostOutlinedShards) return std::nullopt;
    JsonObject shard(each, "an outline of a shard");
    outline.first.push_back({.name = shard.text("name").substr(0, 4 * kMaxOutlinedNameBytes),
                             .tokens = shard.integer("tokens"),
                             .bits = shard.integer("bits"),
                             .sample = shard.text("sample")});
  }
  return outline;
} catch (const Error&) {
  return std::nullopt;
}

std::string difference(const std::string& name, const std::optional<DataOutline>& ours,
                       const std::optional<DataOutline>& theirs) {
  if (!ours && !theirs) return "";
  std::vector<std::string> parts;
  const auto compare = [&](std::uint64_t here, std::uint64_t there, const char* what) {
    if (here != there)
      parts.push_back(fmt::format("{} here, {} there", counted(here, what), there));
  };
  if (!ours || !theirs) {
    const DataOutline& only = ours ? *ours : *theirs;
    parts.push_back(fmt::format("{} {}, none {}", counted(only.shards, "shard"),
                                ours ? "here" : "there", ours ? "there" : "here"));
  } else {
    compare(ours->shards, theirs->shards, "shard");
    compare(ours->tokens, theirs->tokens, "token");
    if (auto first = first_difference(*ours, *theirs); !first.empty()) {
      parts.push_back(std::move(first));
    }
  }
  if (parts.empty()) return "";
  return fmt::format("{}: {}", name, fmt::join(parts, "; "));
}

}  // namespace ptrain::data
