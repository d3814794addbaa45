#include "libcommon/plan/compute_file.h"

#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "libcommon/base/error.h"
#include "libcommon/base/strict_json.h"
#include "libcommon/job/job_keys.h"
#include "libcommon/plan/json_entry.h"

namespace ptrain::plan {
namespace {

constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 53;
constexpr std::uint64_t kMostCores = 1 << 20;

constexpr std::array kShapeKeys{"model.vocab_size",
                                "model.hidden_size",
                                "model.intermediate_size",
                                "model.num_attention_heads",
                                "model.num_key_value_heads",
                                "model.head_dim",
                                "data.seq_len",
                                "precision.compute",
                                "train.recompute"};

BlockKind read_kind(JsonEntry& entry) {
  const std::string name = entry.text("block");
  const auto* found = std::find(kBlockKindNames.begin(), kBlockKindNames.end(), name);
  if (found == kBlockKindNames.end()) {
    entry.fail("block", "embedding, attention, mlp or head");
  }
  return static_cast<BlockKind>(found - kBlockKindNames.begin());
}

void read_blocks(JsonEntry& host, const std::string& where, HostCompute& into) {
  const nlohmann::json& list = host.list("blocks");
  std::map<std::int64_t, std::set<BlockKind>> seen;
  for (std::size_t i = 0; i < list.size(); ++i) {
    JsonEntry entry(list[i], {.file = where, .list = "blocks", .index = i});
    const BlockKind kind = read_kind(entry);
    const auto micro = static_cast<std::int64_t>(entry.whole("micro", 1, job::kMaxBatch));
    if (!seen[micro].insert(kind).second) {
      entry.fail("block", fmt::format("one that was not there before with micro {}", micro));
    }
    into.blocks[micro][index_of(kind)] = {
        .forward_s = entry.positive("forward_s"),
        .input_s = entry.not_negative("input_s"),
        .weight_s = entry.not_negative("weight_s"),
        .update_s = entry.not_negative("update_s"),
        .kept_bytes = entry.whole("kept_bytes", 0, kMostBytes),
        .deferred_bytes = entry.whole("deferred_bytes", 0, kMostBytes)};
    entry.finish();
  }
  if (seen.empty()) host.fail("blocks", "one of each kind at least");
  for (const auto& [micro, kinds] : seen) {
    for (std::size_t kind = 0; kind < kBlockKinds; ++kind) {
      if (kinds.contains(static_cast<BlockKind>(kind))) continue;
      throw Error(ErrorKind::corrupt, fmt::format("{}: blocks: none of kind {} with micro {}",
                                                  where, kBlockKindNames[kind], micro));
    }
  }
}

void read_codecs(JsonEntry& host, const std::string& where, HostCompute& into) {
  const nlohmann::json& list = host.list("codecs");
  for (std::size_t i = 0; i < list.size(); ++i) {
    JsonEntry entry(list[i], {.file = where, .list = "codecs", .index = i});
    const CodecRates rates{.encode_bytes_per_s = entry.positive("encode_bytes_per_s"),
                           .decode_bytes_per_s = entry.positive("decode_bytes_per_s")};
    if (!into.codecs.emplace(entry.text("codec"), rates).second) {
      entry.fail("codec", "one that was not there before");
    }
    entry.finish();
  }
}

HostCompute read_host(std::string_view line, const std::string& where) {
  const nlohmann::json value = parse_strict_json(line, where);
  JsonEntry entry(value, {.file = where});
  entry.kind("compute", 1);
  HostCompute host{.name = entry.name("host"), .where = where};
  host.time_s = entry.not_negative("time_s");
  host.numerics = entry.text("numerics");
  host.cores = entry.whole("cores", 1, kMostCores);
  host.memory_bytes = entry.whole("memory_bytes", 1, kMostBytes);
  host.free_bytes = entry.whole("free_bytes", 0, host.memory_bytes);
  host.program_bytes = entry.whole("program_bytes", 0, kMostBytes);
  host.shape = entry.any("shape");
  if (!host.shape.is_object()) entry.fail("shape", "an object");
  read_blocks(entry, where, host);
  read_codecs(entry, where, host);
  if (value.contains("detail")) host.detail = value["detail"];
  entry.finish();
  return host;
}

}  // namespace

nlohmann::json shape_of(const job::Job& job) {
  nlohmann::json shape = nlohmann::json::object();
  for (const char* name : kShapeKeys) shape[name] = job::find_job_key(name)->read(job);
  return shape;
}

std::vector<HostCompute> read_compute(std::string_view text, const std::string& where) {
  std::vector<HostCompute> hosts;
  std::set<std::string, std::less<>> names;
  std::size_t number = 0;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = without_preamble(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    ++number;
    if (line.empty()) continue;
    hosts.push_back(read_host(line, fmt::format("{}:{}", where, number)));
    if (!names.insert(hosts.back().name).second) {
      throw Error(ErrorKind::corrupt, fmt::format("{}:{}: host {} has a line before this one",
                                                  where, number, hosts.back().name));
    }
  }
  if (hosts.empty()) throw Error(ErrorKind::corrupt, fmt::format("{}: no host in it", where));
  return hosts;
}

std::string write_compute(const HostCompute& host) {
  using Json = nlohmann::ordered_json;
  Json blocks = Json::array();
  for (const auto& [micro, kinds] : host.blocks) {
    for (std::size_t kind = 0; kind < kBlockKinds; ++kind) {
      const BlockCompute& block = kinds[kind];
      blocks.push_back({{"block", kBlockKindNames[kind]},
                        {"micro", micro},
                        {"forward_s", block.forward_s},
                        {"input_s", block.input_s},
                        {"weight_s", block.weight_s},
                        {"update_s", block.update_s},
                        {"kept_bytes", block.kept_bytes},
                        {"deferred_bytes", block.deferred_bytes}});
    }
  }
  Json codecs = Json::array();
  for (const auto& [name, rates] : host.codecs) {
    codecs.push_back({{"codec", name},
                      {"encode_bytes_per_s", rates.encode_bytes_per_s},
                      {"decode_bytes_per_s", rates.decode_bytes_per_s}});
  }
  Json json{{"kind", "compute"},
            {"version", 1},
            {"time_s", host.time_s},
            {"host", host.name},
            {"numerics", host.numerics},
            {"cores", host.cores},
            {"memory_bytes", host.memory_bytes},
            {"free_bytes", host.free_bytes},
            {"program_bytes", host.program_bytes},
            {"shape", host.shape},
            {"blocks", std::move(blocks)},
            {"codecs", std::move(codecs)}};
  if (!host.detail.is_null()) json["detail"] = host.detail;
  return json.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

void check_shape(const HostCompute& host, const job::Job& job) {
  const nlohmann::json wanted = shape_of(job);
  for (const auto& [key, value] : wanted.items()) {
    const auto found = host.shape.find(key);
    if (found != host.shape.end() && *found == value) continue;
    throw Error(
        ErrorKind::corrupt,
        fmt::format("{}: host {} was measured with {} = {}, the job has {}", host.where, host.name,
                    key, found == host.shape.end() ? "nothing" : found->dump(), value.dump()),
        "measure it again with this job");
  }
}

void check_micro(const HostCompute& host, const job::Job& job) {
  if (host.blocks.contains(job.batch.micro)) return;
  std::vector<std::int64_t> known;
  for (const auto& [micro, kinds] : host.blocks) known.push_back(micro);
  throw Error(ErrorKind::corrupt,
              fmt::format("{}: host {} was measured with microbatches of {}, the job has "
                          "batch.micro = {}",
                          host.where, host.name, fmt::join(known, ", "), job.batch.micro),
              "measure it again with this job");
}

}  // namespace ptrain::plan
