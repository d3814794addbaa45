#include "libcommon/plan/planner.h"

#include <algorithm>
#include <set>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "libcommon/base/error.h"
#include "libcommon/job/partition.h"
#include "libcommon/job/stage_layers.h"
#include "libcommon/job/stage_span.h"
#include "libcommon/plan/border_codecs.h"
#include "libcommon/plan/explanation.h"
#include "libcommon/plan/link_table.h"

namespace ptrain::plan {
namespace {

// float32: value, gradient and two moments of a parameter, and the checkpoint's copy of value and
// moments; in bfloat16 a copy of the value for the products. As ptrain-stage says at its start.
constexpr double kStateBytesPerParameter = 4 * 4 + 3 * 4;
constexpr double kComputeCopyBytesPerParameter = 2;
constexpr double kAverageBytesPerParameter = 2 * 4;

PerKind<double> state_bytes(const job::Job& job) {
  PerKind<double> parameters{};
  for (const job::ParameterSpec& spec : job::parameters(job.model)) {
    if (spec.layer && *spec.layer > 0) continue;  // all layers are alike
    double elements = 1;
    for (const std::int64_t extent : spec.shape) elements *= static_cast<double>(extent);
    parameters[index_of(kind_of(spec))] += elements;
  }
  if (job.model.tie_word_embeddings) {
    parameters[index_of(BlockKind::head)] += parameters[index_of(BlockKind::embedding)];
  }
  const double each =
      kStateBytesPerParameter + (job.optim.ema > 0 ? kAverageBytesPerParameter : 0) +
      (job.precision == job::ComputePrecision::bfloat16 ? kComputeCopyBytesPerParameter : 0);
  for (double& bytes : parameters) bytes *= each;
  return parameters;
}

struct Candidate {
  const HostCompute* compute = nullptr;
  std::size_t link = 0;  // index in the link table
  double speed_s = 0;    // of a layer, at the job's microbatch
};

class Planner {
 public:
  explicit Planner(const PlanInput& input) : input_(input), job_(input.job), table_(input.links) {}

  Planned run() {
    check_lanes();
    check_micros();
    choose_candidates();
    if (candidates_.empty()) return std::move(planned_);
    make_problem();
    const Costs costs(problem_);
    const FoundBySize found = search(problem_, input_.mode);
    if (const Found* best = preferred(found)) {
      describe(costs, found, *best);
    } else {
      for (const Candidate& each : candidates_) {
        unused(each.compute->name, "all hosts together have too little memory for this job");
      }
    }
    return std::move(planned_);
  }

 private:
  // --- who could take part ---

  // A step of several lanes is not the simulator's: each has a pipeline of its own, and at its end
  // they sum their gradients over the same links.
  void check_lanes() const {
    if (job_.lanes.count == 1) return;
    throw Error(ErrorKind::usage,
                fmt::format("lanes.count = {}: plans are of one lane", job_.lanes.count),
                "plan the job as one pipeline: --set lanes.count=1");
  }

  void check_micros() const {
    for (const std::int64_t micro : input_.other_micros) {
      if (micro >= 1 && job_.batch.global % micro == 0) continue;
      throw Error(ErrorKind::usage,
                  fmt::format("a microbatch of {} does not divide batch.global {}", micro,
                              job_.batch.global));
    }
  }

  void unused(const std::string& host, const std::string& why) {
    planned_.unused.push_back({host, why});
  }

  void check_numerics(const std::vector<const HostCompute*>& hosts) const {
    for (const HostCompute* host : hosts) {
      if (host->numerics == hosts.front()->numerics) continue;
      throw Error(
          ErrorKind::corrupt,
          fmt::format(
              "{}: host {} is of numerics class {}, {} is of {}: together they keep no bits",
              host->where, host->name, host->numerics, hosts.front()->name,
              hosts.front()->numerics),
          fmt::format("plan with one class: --numerics {}", hosts.front()->numerics));
    }
  }

  // A block, with one microbatch: less than that no stage holds.
  double least_bytes(const HostCompute& host) const {
    const PerKind<BlockCompute>& blocks = host.blocks.at(job_.batch.micro);
    const PerKind<double> state = state_bytes(job_);
    const auto bytes = [&](BlockKind kind) {
      const BlockCompute& block = blocks[index_of(kind)];
      return state[index_of(kind)] + static_cast<double>(block.kept_bytes + block.deferred_bytes);
    };
    return std::min(bytes(BlockKind::attention), bytes(BlockKind::mlp));
  }

  static double usable_bytes(const HostCompute& host) {
    return kUsableMemory * static_cast<double>(host.free_bytes) -
           static_cast<double>(host.program_bytes);
  }

  void choose_candidates() {
    std::set<std::string> computes;
    std::vector<const HostCompute*> able;
    for (const HostCompute& host : input_.compute) {
      if (!table_.find(host.name)) {
        throw Error(ErrorKind::corrupt, fmt::format("{}: host {} is not among those of the links",
                                                    host.where, host.name));
      }
      check_shape(host, job_);
      computes.insert(host.name);
      if (!input_.numerics.empty() && host.numerics != input_.numerics) {
        unused(host.name, fmt::format("of numerics class {}", host.numerics));
        continue;
      }
      check_micro(host, job_);
      able.push_back(&host);
    }
    check_numerics(able);
    for (const LinkedHost& host : input_.links.hosts) {
      if (!computes.contains(host.name)) unused(host.name, "nothing says how fast it computes");
    }
    for (const HostCompute* host : able) {
      const std::size_t link = *table_.find(host->name);
      const double room = usable_bytes(*host);
      if (const std::string& failed = input_.links.hosts[link].failed; !failed.empty()) {
        unused(host->name, "its links could not be measured: " + failed);
      } else if (room < least_bytes(*host)) {
        unused(host->name, fmt::format("too small for any part of the model: {:.3g} MB are usable, "
                                       "a block needs {:.3g} MB",
                                       std::max(0.0, room) / 1e6, least_bytes(*host) / 1e6));
      } else {
        candidates_.push_back({host, link, layer_s(*host)});
      }
    }
    keep_the_best();
  }

  double layer_s(const HostCompute& host) const {
    const PerKind<BlockCompute>& blocks = host.blocks.at(job_.batch.micro);
    double all_s = 0;
    for (const BlockKind kind : {BlockKind::attention, BlockKind::mlp}) {
      const BlockCompute& block = blocks[index_of(kind)];
      all_s += block.forward_s + block.input_s + block.weight_s;
    }
    return all_s;
  }

  void keep_the_best() {
    if (candidates_.size() <= kMostCandidates) return;
    std::stable_sort(candidates_.begin(), candidates_.end(),
                     [](const Candidate& a, const Candidate& b) { return a.speed_s < b.speed_s; });
    std::vector<Candidate> kept;
    std::vector<Candidate> rest;
    std::unordered_map<std::string, std::size_t> of_site;
    for (const Candidate& each : candidates_) {
      const std::string& site = input_.links.hosts[each.link].site;
      const bool keeps = kept.size() < kMostCandidates / 2 ||
                         (kept.size() < kMostCandidates && of_site[site] < kBestOfASite);
      if (keeps) ++of_site[site];
      (keeps ? kept : rest).push_back(each);
    }
    for (const Candidate& each : rest) {
      unused(each.compute->name, "slower than others of its site, and there are many");
    }
    candidates_ = std::move(kept);
  }

  // --- the problem ---

  void make_problem() {
    problem_.blocks = blocks_of(job_.model);
    problem_.borders = borders_of(job_);
    problem_.state_bytes = state_bytes(job_);
    problem_.schedule = job_.pipeline.schedule;
    problem_.in_flight = job_.pipeline.in_flight;
    problem_.tokens_per_step = static_cast<double>(job_.tokens_per_step());
    problem_.codecs_act_inside = cuts_at_its_borders(job_);
    if (job_.model.tie_word_embeddings) {
      problem_.tied_bytes = static_cast<std::uint64_t>(job_.model.vocab_size) *
                            static_cast<std::uint64_t>(job_.model.hidden_size) * sizeof(float);
    }
    add_micro(job_.batch.micro);
    for (const std::int64_t micro : input_.other_micros) {
      const bool known =
          std::all_of(candidates_.begin(), candidates_.end(),
                      [&](const Candidate& each) { return each.compute->blocks.contains(micro); });
      if (known && micro != job_.batch.micro) add_micro(micro);
    }
    for (const Candidate& each : candidates_) add_host(each);
    for (const Candidate& from : candidates_) {
      for (const Candidate& to : candidates_) {
        Way way{};
        if (from.link != to.link) way = table_.way(from.link, to.link);
        problem_.ways.push_back(
            {.round_trip_s = static_cast<float>(way.round_trip_s),
             .rate_bytes_per_s = way.possible ? static_cast<float>(way.rate_bytes_per_s) : 0});
      }
    }
  }

  void add_micro(std::int64_t micro) {
    const auto elements =
        static_cast<std::uint64_t>(micro * job_.data.seq_len * job_.model.hidden_size);
    problem_.micros.push_back(
        {.micro = micro,
         .microbatches = static_cast<std::uint32_t>(job_.batch.global / micro),
         .forward_bytes =
             border_bytes(job::wire_codec(job_.wire_forward, job_.precision), elements),
         .backward_bytes =
             border_bytes(job::wire_codec(job_.wire_backward, job_.precision), elements)});
  }

  void add_host(const Candidate& each) {
    const HostCompute& compute = *each.compute;
    const HostRates& rates = table_.rates(each.link);
    HostCost host{.name = compute.name,
                  .usable_bytes = usable_bytes(compute),
                  .out_bytes_per_s = rates.out_bytes_per_s,
                  .in_bytes_per_s = rates.in_bytes_per_s};
    for (const MicroCost& micro : problem_.micros) {
      PerKind<KindCost> kinds;
      const PerKind<BlockCompute>& measured = compute.blocks.at(micro.micro);
      for (std::size_t kind = 0; kind < kBlockKinds; ++kind) {
        kinds[kind] = {.forward_s = measured[kind].forward_s,
                       .backward_s = measured[kind].input_s + measured[kind].weight_s,
                       .update_s = measured[kind].update_s,
                       .kept_bytes = static_cast<double>(measured[kind].kept_bytes),
                       .deferred_bytes = static_cast<double>(measured[kind].deferred_bytes)};
      }
      host.kinds.push_back(kinds);
    }
    const auto rates_of = [&](job::WireCodec codec) -> const CodecRates* {
      const auto found = compute.codecs.find(codec_name(job::wire_codec(codec, job_.precision)));
      return found == compute.codecs.end() ? nullptr : &found->second;
    };
    if (const CodecRates* codec = rates_of(job_.wire_forward)) {
      host.encode_forward_s = 1 / codec->encode_bytes_per_s;
      host.decode_forward_s = 1 / codec->decode_bytes_per_s;
    }
    if (const CodecRates* codec = rates_of(job_.wire_backward)) {
      host.encode_backward_s = 1 / codec->encode_bytes_per_s;
      host.decode_backward_s = 1 / codec->decode_bytes_per_s;
    }
    problem_.hosts.push_back(std::move(host));
  }

  // --- what came out ---

  void describe(const Costs& costs, const FoundBySize& found, const Found& best) {
    std::set<std::uint32_t> used(best.choice.hosts.begin(), best.choice.hosts.end());
    for (std::uint32_t host = 0; host < problem_.hosts.size(); ++host) {
      if (!used.contains(host)) unused(problem_.hosts[host].name, why_unused(costs, best, host));
    }
    PlanFile plan;
    plan.step_s = best.worth.step_s;
    plan.tokens_per_s = problem_.tokens_per_step / best.worth.step_s;
    for (std::uint32_t stage = 0; stage < best.choice.hosts.size(); ++stage) {
      plan.view.push_back({StageIndex(stage), 0, problem_.hosts[best.choice.hosts[stage]].name});
    }
    std::vector<std::string> texts;
    for (const job::StageLayers& each : layers(best.choice)) texts.push_back(as_json(each).dump());
    plan.set.push_back(fmt::format("pipeline.layers=[{}]", fmt::join(texts, ",")));
    take_back_what_disagrees(plan);
    const std::int64_t micro = problem_.micros[best.choice.micro].micro;
    if (micro != job_.batch.micro) plan.set.push_back(fmt::format("batch.micro={}", micro));
    plan.explanation = explanation(costs, found, best);
    planned_.plan = std::move(plan);
  }

  // With what says otherwise where to cut, or into how many, a job would be refused.
  void take_back_what_disagrees(PlanFile& plan) const {
    const auto stages = static_cast<std::int64_t>(plan.view.size());
    if (job_.pipeline.cut != job::CutBetween::layers) plan.set.emplace_back("pipeline.cut=layers");
    if (job_.pipeline.stages != 0 && job_.pipeline.stages != stages) {
      plan.set.push_back(fmt::format("pipeline.stages={}", stages));
    }
  }

  // Of each stage.
  std::vector<job::StageLayers> layers(const Choice& choice) const {
    std::vector<job::StageLayers> layers;
    std::int64_t begin = 0;
    for (const std::uint32_t end : choice.ends) {
      const std::int64_t next = first_block_at(end);
      const std::int64_t parts = job::is_attention(begin) ? 0 : 1;
      layers.emplace_back(parts > 0, (next - begin - parts) / job::kBlocksPerLayer,
                          !job::is_attention(next));
      begin = next;
    }
    return layers;
  }

  // The block of a layer that is the first behind this border; at the end as many as there are.
  std::int64_t first_block_at(std::uint32_t border) const {
    const std::size_t place = problem_.borders[border];
    const std::size_t of_layers = problem_.blocks.size() - 2;  // without the embedding and the head
    return static_cast<std::int64_t>(std::min(place == 0 ? 0 : place - 1, of_layers));
  }

  // As pipeline.layers has it.
  static nlohmann::ordered_json as_json(const job::StageLayers& layers) {
    if (layers == job::StageLayers(layers.whole)) return layers.whole;
    return job::text_of(layers);
  }

  nlohmann::ordered_json explanation(const Costs& costs, const FoundBySize& found,
                                     const Found& best) {
    const double tokens = problem_.tokens_per_step;
    const MicroCost& micro = problem_.micros[best.choice.micro];
    const std::size_t stages = best.choice.hosts.size();
    const std::uint64_t border = micro.microbatches * (micro.forward_bytes + micro.backward_bytes);
    const Limit limit = limit_of(costs, best);
    nlohmann::ordered_json json{{"one_machine_is_faster", stages == 1}};
    if (found[0]) {
      json["single_host"] = {{"host", problem_.hosts[found[0]->choice.hosts[0]].name},
                             {"tokens_per_s", tokens / found[0]->worth.step_s}};
    }
    json["predicted"] = {
        {"tokens_per_s", tokens / best.worth.step_s},
        {"step_s", best.worth.step_s},
        {"pipeline_s", best.worth.makespan_s},
        {"verdict_s", best.worth.verdict_s},
        {"tied_s", best.worth.tied_s},
        {"update_s", best.worth.update_s},
        {"in_flight", best.worth.stages[0].depth},
        {"lanes", 1},
        {"bytes_per_step", (stages - 1) * border + (stages > 1 ? 2 * problem_.tied_bytes : 0)}};
    json["limit"] = {{"what", limit.what}, {"busy", limit.busy}};
    json["stages"] = stages_of(best);
    json["what_if"] = what_if(costs, best);
    json["losses"] = losses(costs, best);
    json["unused"] = nlohmann::ordered_json::array();
    for (const UnusedHost& each : planned_.unused) {
      json["unused"].push_back({{"host", each.host}, {"why", each.why}});
    }
    json["estimated"] = estimated(best.choice);
    return json;
  }

  nlohmann::ordered_json stages_of(const Found& best) const {
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    const std::vector<job::StageLayers> held = layers(best.choice);
    const std::vector<job::StageSpan> spans = job::partition(job_.model, held.size(), held);
    const MicroCost& micro = problem_.micros[best.choice.micro];
    for (std::size_t stage = 0; stage < held.size(); ++stage) {
      const Candidate& candidate = candidates_[best.choice.hosts[stage]];
      const StageWorth& worth = best.worth.stages[stage];
      const bool last = stage + 1 == held.size();
      const std::uint64_t forward = last ? 0 : micro.forward_bytes * micro.microbatches;
      const std::uint64_t backward = stage == 0 ? 0 : micro.backward_bytes * micro.microbatches;
      list.push_back(
          {{"stage", stage},
           {"host", candidate.compute->name},
           {"layers", as_json(held[stage])},
           {"holds", job::text_of(spans[stage])},
           {"busy", micro.microbatches * (worth.forward_s + worth.backward_s) / best.worth.step_s},
           {"compute_s",
            micro.microbatches * (worth.forward_s + worth.backward_s) + worth.update_s},
           {"to_next_s", last ? 0 : carried_s(best.choice, stage, stage + 1, forward)},
           {"to_previous_s", stage == 0 ? 0 : carried_s(best.choice, stage, stage - 1, backward)},
           {"in_flight", worth.depth},
           {"memory_bytes",
            static_cast<std::uint64_t>(worth.memory_bytes) + candidate.compute->program_bytes},
           {"free_bytes", candidate.compute->free_bytes},
           {"sent_bytes_per_step", forward + backward}});
    }
    return list;
  }

  // How long a stage sends so much to another, with the link for itself.
  double carried_s(const Choice& choice, std::size_t from, std::size_t to,
                   std::uint64_t bytes) const {
    const HostCost& sender = problem_.hosts[choice.hosts[from]];
    const HostCost& receiver = problem_.hosts[choice.hosts[to]];
    const WayCost& way = problem_.way(choice.hosts[from], choice.hosts[to]);
    return static_cast<double>(bytes) /
           std::min({sender.out_bytes_per_s, static_cast<double>(way.rate_bytes_per_s),
                     receiver.in_bytes_per_s});
  }

  nlohmann::ordered_json estimated(const Choice& choice) const {
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (std::size_t stage = 0; stage < choice.hosts.size(); ++stage) {
      if (choice.hosts.size() == 1) break;
      const Candidate& own = candidates_[choice.hosts[stage]];
      if (table_.rates(own.link).estimated) {
        list.push_back(fmt::format("what {} sends and gets in all", own.compute->name));
      }
      if (stage == 0) continue;
      const Candidate& before = candidates_[choice.hosts[stage - 1]];
      for (const auto& [from, to] : {std::pair{before, own}, std::pair{own, before}}) {
        if (!table_.way(from.link, to.link).estimated) continue;
        list.push_back(fmt::format("the link {} to {}", from.compute->name, to.compute->name));
      }
    }
    return list;
  }

  const PlanInput& input_;
  const job::Job& job_;
  LinkTable table_;
  std::vector<Candidate> candidates_;
  Problem problem_;
  Planned planned_;
};

Planned plan_with(const PlanInput& input, const CodecPair& pair) {
  job::Job job = input.job;
  job.wire_forward = pair.forward;
  job.wire_backward = pair.backward;
  const PlanInput other{.job = job,
                        .links = input.links,
                        .compute = input.compute,
                        .other_micros = input.other_micros,
                        .numerics = input.numerics,
                        .mode = input.mode};
  Planned planned = Planner(other).run();
  if (!planned.plan) return planned;
  const auto take = [&](const char* key, job::WireCodec own, job::WireCodec chosen) {
    if (job::wire_codec(own, job.precision) == chosen) return;
    planned.plan->set.push_back(fmt::format("{}={}", key, codec_name(chosen)));
  };
  take("wire.forward", input.job.wire_forward, pair.forward);
  take("wire.backward", input.job.wire_backward, pair.backward);
  return planned;
}

// What is faster by more than `worth`, or is possible at all where `now` is not.
bool is_better(const Planned& other, const Planned& now, double worth) {
  if (!other.plan) return false;
  return !now.plan || other.plan->tokens_per_s > (1 + worth) * now.plan->tokens_per_s;
}

}  // namespace

Planned make_plan(const PlanInput& input) {
  const std::vector<CodecPair> pairs =
      codec_pairs(input.job, input.other_forward, input.other_backward);
  std::optional<Planned> chosen;
  for (std::size_t i = 0; i < pairs.size();) {
    const int loss = pairs[i].loss;
    Planned fastest = plan_with(input, pairs[i++]);
    for (; i < pairs.size() && pairs[i].loss == loss; ++i) {
      Planned other = plan_with(input, pairs[i]);
      if (is_better(other, fastest, 0)) fastest = std::move(other);
    }
    if (!chosen || is_better(fastest, *chosen, kWorthALoss)) chosen = std::move(fastest);
  }
  return *std::move(chosen);
}

std::vector<BlockKind> blocks_of(const job::ModelConfig& model) {
  std::vector<BlockKind> blocks{BlockKind::embedding};
  for (std::int64_t layer = 0; layer < model.num_hidden_layers; ++layer) {
    blocks.push_back(BlockKind::attention);
    blocks.push_back(BlockKind::mlp);
  }
  blocks.push_back(BlockKind::head);
  return blocks;
}

bool cuts_at_its_borders(const job::Job& job) {
  const auto exact = job::wire_codec(job::WireCodec::exact, job.precision);
  const bool loses = job::wire_codec(job.wire_forward, job.precision) != exact ||
                     job::wire_codec(job.wire_backward, job.precision) != exact;
  return loses && !job.pipeline.borders.empty();
}

// The embedding is with the first block, the head with the last one.
std::vector<std::size_t> borders_of(const job::Job& job) {
  const std::int64_t blocks = job::kBlocksPerLayer * job.model.num_hidden_layers;
  std::vector<std::int64_t> firsts = job::first_blocks(job.pipeline.borders);
  if (!cuts_at_its_borders(job)) {
    firsts.clear();
    for (std::int64_t block = 1; block < blocks; ++block) firsts.push_back(block);
  }
  std::vector<std::size_t> borders{0};
  for (const std::int64_t block : firsts) borders.push_back(static_cast<std::size_t>(1 + block));
  borders.push_back(static_cast<std::size_t>(blocks + 2));
  return borders;
}

void check_age(const PlanInput& input, double oldest_s) {
  double time_s = oldest_s;
  std::string what;
  const auto consider = [&](double at_s, const std::string& name) {
    if (at_s >= time_s) return;
    time_s = at_s;
    what = name;
  };
  for (const LinkedHost& host : input.links.hosts) {
    consider(host.time_s, "links: host " + host.name);
  }
  for (const std::vector<MeasuredWay>* ways : {&input.links.sites, &input.links.pairs}) {
    for (const MeasuredWay& way : *ways) {
      if (way.time_s < time_s) {
        consider(way.time_s, fmt::format("links: {} to {}", way.from, way.to));
      }
    }
  }
  for (const HostCompute& host : input.compute) {
    consider(host.time_s, fmt::format("{}: host {}", host.where, host.name));
  }
  if (what.empty()) return;
  throw Error(
      ErrorKind::corrupt,
      fmt::format("{} was measured {:.0f} s before what --max-age allows", what, oldest_s - time_s),
      "measure again, or raise --max-age");
}

}  // namespace ptrain::plan
