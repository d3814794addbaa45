#include "libcommon/job/partition.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "libcommon/base/error.h"

namespace ptrain::job {
namespace {

// Multiplications per token. Attention multiplies each query with the keys before it and the
// scores with their values: half the sequence on average, twice.
std::uint64_t attention_cost(const ModelConfig& m) {
  const std::int64_t query = m.num_attention_heads * m.head_dim;
  const std::int64_t key_value = m.num_key_value_heads * m.head_dim;
  return static_cast<std::uint64_t>(m.hidden_size * (2 * query + 2 * key_value) +
                                    query * m.max_position_embeddings);
}

std::uint64_t mlp_cost(const ModelConfig& m) {
  return static_cast<std::uint64_t>(m.hidden_size * 3 * m.intermediate_size);
}

std::uint64_t head_cost(const ModelConfig& m) {
  return static_cast<std::uint64_t>(m.vocab_size * m.hidden_size);
}

// Whether pieces of at most `limit` can hold all costs. Filling each piece as far as it goes
// is the best that can be done for those that follow; it stops early only where those would
// be left with nothing.
bool fits(const std::vector<std::uint64_t>& costs, std::size_t stages, std::uint64_t limit) {
  std::size_t item = 0;
  for (std::size_t stage = 0; stage < stages; ++stage) {
    const std::size_t last_start = costs.size() - (stages - 1 - stage);
    std::uint64_t sum = 0;
    while (item < last_start && sum + costs[item] <= limit) sum += costs[item++];
  }
  return item == costs.size();
}

std::uint64_t cheapest_maximum(const std::vector<std::uint64_t>& costs, std::size_t stages) {
  std::uint64_t low = *std::max_element(costs.begin(), costs.end());
  std::uint64_t high = std::accumulate(costs.begin(), costs.end(), std::uint64_t{0});
  while (low < high) {
    const std::uint64_t middle = low + (high - low) / 2;
    if (fits(costs, stages, middle)) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return low;
}

// Stages of so many blocks each.
std::vector<StageSpan> spans_of(const std::vector<std::int64_t>& blocks) {
  std::vector<StageSpan> spans;
  std::int64_t begin = 0;
  for (const std::int64_t count : blocks) {
    spans.push_back(span_of_blocks(begin, begin + count));
    begin += count;
  }
  spans.front().embedding = true;
  spans.back().head = true;
  return spans;
}

void check_given(const std::vector<StageLayers>& layers, std::size_t stages,
                 std::int64_t model_layers) {
  const auto refuse = [&](const std::string& why) {
    std::vector<std::string> texts;
    for (const StageLayers& each : layers) texts.push_back(text_of(each));
    throw Error(ErrorKind::usage,
                fmt::format("pipeline.layers = [{}]: {}", fmt::join(texts, ", "), why),
                "give one number a stage, that add up to model.num_hidden_layers, or none");
  };
  if (layers.size() != stages) {
    refuse(fmt::format("{} stages, but the job runs on {}", layers.size(), stages));
  }
  for (const StageLayers& each : layers) {
    if (each.whole < 0 || each.whole > model_layers || each.blocks() < 1) {
      refuse("a stage holds at least one layer of the model, or a part of one");
    }
  }
  if (const auto open = open_cut(layers)) refuse(*open);
  const std::int64_t sum = layers_in_all(layers);
  if (sum != model_layers)
    refuse(fmt::format("{} layers, but the model has {}", sum, model_layers));
}

std::vector<std::int64_t> balanced_blocks(const ModelConfig& model, std::size_t stages,
                                          CutBetween between) {
  const auto layers = static_cast<std::size_t>(model.num_hidden_layers);
  std::vector<std::uint64_t> costs;
  for (std::size_t layer = 0; layer < layers; ++layer) {
    costs.push_back(attention_cost(model));
    costs.push_back(mlp_cost(model));
  }
  costs.back() += head_cost(model);
  if (between == CutBetween::blocks) return balanced_cut(costs, stages);

  for (std::size_t layer = 0; layer < layers; ++layer) {
    costs[layer] = costs[2 * layer] + costs[2 * layer + 1];
  }
  costs.resize(layers);
  std::vector<std::int64_t> cut = balanced_cut(costs, stages);
  for (std::int64_t& length : cut) length *= kBlocksPerLayer;
  return cut;
}

}  // namespace

std::vector<StageSpan> partition(const Job& job, std::size_t stages) {
  ModelConfig model = job.model;
  model.max_position_embeddings = job.data.seq_len;
  return partition(model, stages, job.pipeline.layers, job.pipeline.cut);
}

std::vector<StageSpan> partition(const ModelConfig& model, std::size_t stages,
                                 const std::vector<StageLayers>& layers, CutBetween between) {
  if (stages == 0) throw Error(ErrorKind::usage, "a pipeline of 0 stages");
  if (!layers.empty()) {
    check_given(layers, stages, model.num_hidden_layers);
    std::vector<std::int64_t> blocks;
    for (const StageLayers& each : layers) blocks.push_back(each.blocks());
    return spans_of(blocks);
  }
  const bool whole = between == CutBetween::layers;
  const auto most =
      static_cast<std::size_t>(model.num_hidden_layers * (whole ? 1 : kBlocksPerLayer));
  if (stages > most) {
    throw Error(ErrorKind::usage,
                fmt::format("{} stages for a model of {} layers: a stage holds at least {}", stages,
                            model.num_hidden_layers, whole ? "one" : "half of one"),
                fmt::format("use at most {} stages{}", most,
                            whole ? ", or pipeline.cut = \"blocks\" in the job" : ""));
  }
  return spans_of(balanced_blocks(model, stages, between));
}

std::vector<std::int64_t> balanced_cut(const std::vector<std::uint64_t>& costs,
                                       std::size_t stages) {
  if (stages == 0 || stages > costs.size()) {
    throw Error(ErrorKind::internal,
                fmt::format("cut {} costs into {} pieces", costs.size(), stages));
  }
  const std::uint64_t limit = cheapest_maximum(costs, stages);
  // Squares are summed in units that keep them in 64 bits, and in integers, so that every
  // stage of a job decides alike, whatever its processor rounds.
  constexpr std::uint64_t kUnits = 1 << 20;
  const std::uint64_t unit = limit / kUnits + 1;
  constexpr std::uint64_t kImpossible = std::numeric_limits<std::uint64_t>::max();
  const std::size_t n = costs.size();

  // unevenness[first]: the least sum of squares of the pieces so far considered, which hold
  // costs[first..]; first_piece[k][first]: the length of the first of those k + 1 pieces.
  std::vector<std::uint64_t> unevenness(n + 1, kImpossible);
  unevenness[n] = 0;
  std::vector<std::vector<std::size_t>> first_piece(stages, std::vector<std::size_t>(n, 0));
  for (std::size_t k = 0; k < stages; ++k) {
    std::vector<std::uint64_t> longer(n + 1, kImpossible);
    for (std::size_t first = 0; first < n; ++first) {
      std::uint64_t sum = 0;
      for (std::size_t end = first + 1; end <= n; ++end) {
        sum += costs[end - 1];
        if (sum > limit) break;
        if (unevenness[end] == kImpossible) continue;
        const std::uint64_t total = unevenness[end] + (sum / unit) * (sum / unit);
        if (total < longer[first]) {
          longer[first] = total;
          first_piece[k][first] = end - first;
        }
      }
    }
    unevenness = std::move(longer);
  }

  std::vector<std::int64_t> lengths;
  std::size_t first = 0;
  for (std::size_t k = stages; k-- > 0;) {
    lengths.push_back(static_cast<std::int64_t>(first_piece[k][first]));
    first += first_piece[k][first];
  }
  return lengths;
}

}  // namespace ptrain::job
