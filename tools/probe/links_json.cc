#include "tools/probe/links_json.h"

#include <array>
#include <chrono>
#include <map>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "libcommon/base/error.h"

namespace ptrain::probe_tool {
namespace {

using Json = nlohmann::ordered_json;
using probe::MatrixEdge;
using std::chrono::microseconds;

constexpr int kVersion = 1;
// As wire::ProbeWay numbers them.
constexpr std::array kLimits{"nothing", "bytes", "time", "rate"};
static_assert(kLimits.size() == wire::kProbeLimitNames);

double unix_seconds(probe::WallClockTime time) {
  return std::chrono::duration<double>(time.time_since_epoch()).count();
}

double in_seconds(microseconds time) { return std::chrono::duration<double>(time).count(); }

Json detail_of(const MatrixEdge& edge) {
  Json detail;
  if (edge.stale) detail["stale"] = true;
  if (!edge.path.empty()) detail["path"] = edge.path;
  if (!edge.route.empty()) detail["route"] = edge.route;
  if (edge.round_trips.count > 0) {
    detail["p99_s"] = in_seconds(edge.round_trips.p99);
    detail["jitter_s"] = in_seconds(edge.round_trips.jitter);
  }
  const wire::ProbeWay& way = edge.way;
  if (way.rate > 0) {
    detail["low_bytes_per_s"] = way.low;
    detail["high_bytes_per_s"] = way.high;
  }
  if (way.coarse > 0) detail["coarse_bytes_per_s"] = way.coarse;
  if (edge.rate() > 0 && !edge.stale) {
    detail["steady"] = way.steady;
    detail["limited_by"] = kLimits[way.limited_by];
    detail["bytes"] = way.bytes.value();
    detail["seconds"] = in_seconds(way.time);
  }
  if (way.loaded_median.count() > 0) {
    detail["loaded_round_trip_s"] = in_seconds(way.loaded_median);
    detail["loaded_p99_s"] = in_seconds(way.loaded_p99);
  }
  if (edge.busy_bytes_per_s) detail["busy_bytes_per_s"] = *edge.busy_bytes_per_s;
  return detail;
}

Json pair_json(const probe::LinkMatrix& matrix, std::size_t from, std::size_t to,
               const MatrixEdge& edge) {
  Json pair{{"from", matrix.hosts[from].name}, {"to", matrix.hosts[to].name}};
  if (edge.round_trips.median.count() > 0) {
    pair["round_trip_s"] = in_seconds(edge.round_trips.median);
  }
  if (edge.rate() > 0) pair["rate_bytes_per_s"] = edge.rate();
  pair["time_s"] = unix_seconds(edge.at);
  if (!edge.failed.empty()) pair["failed"] = edge.failed;
  Json detail = detail_of(edge);
  if (!detail.empty()) pair["detail"] = std::move(detail);
  return pair;
}

std::optional<double> number(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number()) return std::nullopt;
  const double value = found->get<double>();
  return value > 0 ? std::optional(value) : std::nullopt;
}

std::string text_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

}  // namespace

nlohmann::ordered_json to_links_json(const probe::LinkMatrix& matrix) {
  Json json{{"kind", "links"}, {"version", kVersion}, {"time_s", unix_seconds(matrix.ended)}};
  Json hosts = Json::array();
  for (std::size_t i = 0; i < matrix.hosts.size(); ++i) {
    Json host{{"name", matrix.hosts[i].name}};
    const auto out = capacity_of(matrix, i, probe::Direction::out);
    const auto in = capacity_of(matrix, i, probe::Direction::in);
    if (out) host["out_bytes_per_s"] = *out;
    if (in) host["in_bytes_per_s"] = *in;
    if (!matrix.hosts[i].failed.empty()) host["failed"] = matrix.hosts[i].failed;
    hosts.push_back(std::move(host));
  }
  json["hosts"] = std::move(hosts);
  Json pairs = Json::array();
  for (const auto& [key, edge] : matrix.edges) {
    pairs.push_back(pair_json(matrix, key.first, key.second, edge));
  }
  json["pairs"] = std::move(pairs);
  return json;
}

void fill_stale(probe::LinkMatrix& matrix, std::string_view text, const std::string& source) {
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object() || text_of(json, "kind") != "links" || !json.contains("pairs") ||
      !json["pairs"].is_array() || !number(json, "time_s")) {
    throw Error(ErrorKind::corrupt, fmt::format("{}: no links file", source),
                "ptrain-probe matrix --json writes them");
  }
  std::map<std::string, std::size_t> places;
  for (std::size_t i = 0; i < matrix.hosts.size(); ++i) places.emplace(matrix.hosts[i].name, i);
  for (const Json& pair : json["pairs"]) {
    if (!pair.is_object()) continue;
    const auto from = places.find(text_of(pair, "from"));
    const auto to = places.find(text_of(pair, "to"));
    const auto rate = number(pair, "rate_bytes_per_s");
    if (from == places.end() || to == places.end() || !rate || pair.contains("failed")) continue;
    const auto edge = matrix.edges.find({from->second, to->second});
    if (edge == matrix.edges.end() || edge->second.failed.empty()) continue;
    const double time_s = number(pair, "time_s").value_or(*number(json, "time_s"));
    MatrixEdge old{
        .at = probe::WallClockTime(std::chrono::duration_cast<std::chrono::system_clock::duration>(
            std::chrono::duration<double>(time_s))),
        .stale = true};
    old.way.rate = *rate;
    if (const auto round_trip = number(pair, "round_trip_s")) {
      old.round_trips.median =
          std::chrono::duration_cast<microseconds>(std::chrono::duration<double>(*round_trip));
    }
    edge->second = old;
  }
}

}  // namespace ptrain::probe_tool
