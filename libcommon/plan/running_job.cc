#include "libcommon/plan/running_job.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/base/median.h"
#include "libcommon/base/strict_json.h"
#include "libcommon/plan/border_codecs.h"
#include "libcommon/plan/json_entry.h"
#include "libcommon/plan/planner.h"

namespace ptrain::plan {
namespace {

constexpr std::uint64_t kMostStages = 1 << 16;

// The last figures of one kind.
class Recent {
 public:
  void add(double value) {
    if (values_.size() < kMostRecentSteps) {
      values_.push_back(value);
    } else {
      values_[next_++ % kMostRecentSteps] = value;
    }
  }
  std::size_t count() const { return values_.size(); }
  std::optional<double> usual() const {
    if (values_.empty()) return std::nullopt;
    return median(values_);
  }

 private:
  std::vector<double> values_;
  std::size_t next_ = 0;
};

class MetricsReader {
 public:
  explicit MetricsReader(const std::string& where) : where_(where) {}

  void add(std::string_view line, std::size_t number) {
    const std::string where = fmt::format("{}:{}", where_, number);
    const nlohmann::json value = parse_strict_json(line, where);
    JsonEntry entry(value, {.file = where});
    const std::string kind = entry.text("kind");
    if (kind == "step") compute_s_.add(entry.positive("compute_s"));
    if (kind == "memory") numerics_ = entry.text("numerics_class");
    if (kind == "link") add_link(entry, value);
  }

  RunningStage stage() const {
    if (compute_s_.count() < kFewestRecentSteps) {
      throw Error(ErrorKind::corrupt, fmt::format("{}: {} steps, at least {} are needed", where_,
                                                  compute_s_.count(), kFewestRecentSteps));
    }
    RunningStage stage{.where = where_, .numerics = numerics_, .compute_s = *compute_s_.usual()};
    for (const auto& [peer, link] : links_) {
      stage.links[peer] = {.rate_bytes_per_s = link.rate_bytes_per_s.usual(),
                           .round_trip_s = link.round_trip_s.usual()};
    }
    return stage;
  }

 private:
  struct RecentLink {
    Recent rate_bytes_per_s;
    Recent round_trip_s;
  };

  void add_link(JsonEntry& entry, const nlohmann::json& value) {
    RecentLink& link = links_[static_cast<std::uint32_t>(entry.whole("peer", 0, kMostStages))];
    const auto add_if_known = [&](const char* key, Recent& recent) {
      if (value.contains(key) && value[key].is_null()) return;
      recent.add(entry.positive(key));
    };
    add_if_known("goodput_bytes_per_s", link.rate_bytes_per_s);
    add_if_known("round_trip_s", link.round_trip_s);
  }

  const std::string& where_;
  std::string numerics_;
  Recent compute_s_;
  std::map<std::uint32_t, RecentLink> links_;
};

// --- what a stage was thought to take ---

double codec_s(const HostCompute& host, const job::Job& job, job::WireCodec wire,
               std::size_t encoded, std::size_t decoded) {
  const job::WireCodec codec = job::wire_codec(wire, job.precision);
  const auto rates = host.codecs.find(codec_name(codec));
  if (rates == host.codecs.end()) return 0;
  const auto bytes = static_cast<double>(border_bytes(
      codec,
      static_cast<std::uint64_t>(job.batch.micro * job.data.seq_len * job.model.hidden_size)));
  return bytes * (static_cast<double>(encoded) / rates->second.encode_bytes_per_s +
                  static_cast<double>(decoded) / rates->second.decode_bytes_per_s);
}

// Declared borders in the middle of a stage, at which it encodes and decodes for itself.
std::size_t borders_inside(const job::Job& job, std::size_t stage) {
  if (!cuts_at_its_borders(job)) return 0;
  std::int64_t begin = 0;
  for (std::size_t i = 0; i < stage; ++i) begin += job.pipeline.layers[i].blocks();
  const std::int64_t end = begin + job.pipeline.layers[stage].blocks();
  const std::vector<std::int64_t> borders = job::first_blocks(job.pipeline.borders);
  return static_cast<std::size_t>(
      std::count_if(borders.begin(), borders.end(),
                    [&](std::int64_t block) { return begin < block && block < end; }));
}

// Of a step: with a forward and a backward of each microbatch, and the update.
double expected_compute_s(const HostCompute& host, const job::Job& job, std::size_t stage) {
  const std::size_t stages = job.pipeline.layers.size();
  const std::size_t before = stage == 0 ? 0 : 1;
  const std::size_t behind = stage + 1 == stages ? 0 : 1;
  const job::StageLayers& layers = job.pipeline.layers[stage];
  const PerKind<std::int64_t> count{before == 0 ? 1 : 0, layers.whole + (layers.attention ? 1 : 0),
                                    layers.whole + (layers.mlp ? 1 : 0), behind == 0 ? 1 : 0};
  const PerKind<BlockCompute>& blocks = host.blocks.at(job.batch.micro);
  const std::size_t inside = borders_inside(job, stage);
  double micro_s = codec_s(host, job, job.wire_forward, behind + inside, before + inside) +
                   codec_s(host, job, job.wire_backward, before + inside, behind + inside);
  double update_s = 0;
  for (std::size_t kind = 0; kind < kBlockKinds; ++kind) {
    const BlockCompute& block = blocks[kind];
    const auto blocks_of_kind = static_cast<double>(count[kind]);
    micro_s += blocks_of_kind * (block.forward_s + block.input_s + block.weight_s);
    update_s += blocks_of_kind * block.update_s;
  }
  return static_cast<double>(job.batch.global / job.batch.micro) * micro_s + update_s;
}

void scale(HostCompute& host, double times, double time_s) {
  for (auto& [micro, kinds] : host.blocks) {
    for (BlockCompute& block : kinds) {
      for (double* seconds : {&block.forward_s, &block.input_s, &block.weight_s, &block.update_s}) {
        *seconds *= times;
      }
    }
  }
  for (auto& [codec, rates] : host.codecs) {
    rates.encode_bytes_per_s /= times;
    rates.decode_bytes_per_s /= times;
  }
  host.time_s = time_s;
}

void take_compute(const job::Job& job, std::size_t stage, const RunningStage& running,
                  double time_s, HostCompute& host) {
  if (!running.numerics.empty() && running.numerics != host.numerics) {
    throw Error(
        ErrorKind::corrupt,
        fmt::format("{}: stage {} is of numerics class {}, {} says that {} is of {}", running.where,
                    stage, running.numerics, host.where, host.name, host.numerics));
  }
  check_shape(host, job);
  check_micro(host, job);
  const double expected_s = expected_compute_s(host, job, stage);
  if (expected_s <= 0) {
    throw Error(ErrorKind::corrupt, fmt::format("{}: host {} takes no time for stage {}",
                                                host.where, host.name, stage));
  }
  scale(host, running.compute_s / expected_s, time_s);
}

MeasuredWay& way_of(Links& links, const std::string& from, const std::string& to) {
  const auto found =
      std::find_if(links.pairs.begin(), links.pairs.end(),
                   [&](const MeasuredWay& way) { return way.from == from && way.to == to; });
  if (found != links.pairs.end()) return *found;
  links.pairs.push_back({.from = from, .to = to});
  return links.pairs.back();
}

void take_link(const RunningLink& running, double time_s, MeasuredWay& way) {
  if (!running.rate_bytes_per_s && !running.round_trip_s) return;
  if (running.rate_bytes_per_s) way.rate_bytes_per_s = running.rate_bytes_per_s;
  if (running.round_trip_s) way.round_trip_s = running.round_trip_s;
  way.failed.clear();
  way.time_s = time_s;
}

}  // namespace

RunningStage read_running_stage(std::string_view metrics, const std::string& where) {
  MetricsReader reader(where);
  std::size_t number = 0;
  for (std::size_t end = metrics.find('\n'); end != std::string_view::npos;
       end = metrics.find('\n')) {
    reader.add(metrics.substr(0, end), ++number);
    metrics.remove_prefix(end + 1);
  }
  return reader.stage();
}

void take_running(const job::Job& job, const PlanFile& plan,
                  const std::vector<RunningStage>& stages, double time_s, Links& links,
                  std::vector<HostCompute>& compute) {
  if (plan.view.size() != stages.size() || job.pipeline.layers.size() != stages.size()) {
    throw Error(ErrorKind::corrupt,
                fmt::format("metrics of {} stages, the running plan has {} of {} lanes",
                            stages.size(), plan.stages(), plan.view.size() / plan.stages()),
                "give the metrics of each stage, in order; plans have one lane");
  }
  for (std::size_t stage = 0; stage < stages.size(); ++stage) {
    const std::string& name = plan.view[stage].host;
    const auto host = std::find_if(compute.begin(), compute.end(),
                                   [&](const HostCompute& each) { return each.name == name; });
    const bool linked = std::any_of(links.hosts.begin(), links.hosts.end(),
                                    [&](const LinkedHost& each) { return each.name == name; });
    if (host == compute.end() || !linked) {
      throw Error(ErrorKind::corrupt,
                  fmt::format("stage {} runs on {}, of which {} say nothing", stage, name,
                              linked ? "the compute files" : "the links"));
    }
    take_compute(job, stage, stages[stage], time_s, *host);
    for (const auto& [peer, link] : stages[stage].links) {
      if (peer >= stages.size() || peer == stage) {
        throw Error(ErrorKind::corrupt,
                    fmt::format("{}: a link to stage {}: metrics of stage {} of {} have none",
                                stages[stage].where, peer, stage, stages.size()));
      }
      const std::string& other = plan.view[peer].host;
      if (other != name) take_link(link, time_s, way_of(links, name, other));
    }
  }
}

}  // namespace ptrain::plan
