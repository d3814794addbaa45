#include "tests/sim/fake_cell.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "libcommon/base/error.h"

namespace ptrain::sim {
namespace {

// The finaliser of SplitMix64 over both: not symmetric, so that an order is part of it.
std::uint64_t mixed(std::uint64_t a, std::uint64_t b) {
  std::uint64_t x = a * 0x9e3779b97f4a7c15u + b + 0x632be59bd9b4e019u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

double fraction(std::uint64_t value) { return static_cast<double>(value >> 11) * 0x1p-53; }

std::uint64_t hash_of(const std::string& text) {
  std::uint64_t hash = 1;
  for (const char letter : text) hash = mixed(hash, static_cast<unsigned char>(letter));
  return hash;
}

// Of the model's blocks; none of the embedding's, the final norm's and the head's.
std::optional<std::int64_t> block_of(const job::ParameterSpec& spec) {
  if (!spec.layer) return std::nullopt;
  const bool attention = spec.name.find(".self_attn.") != std::string::npos ||
                         spec.name.find(".input_layernorm.") != std::string::npos;
  return job::kBlocksPerLayer * *spec.layer + (attention ? 0 : 1);
}

std::size_t elements(const job::ParameterSpec& spec) {
  std::size_t count = 1;
  for (const std::int64_t extent : spec.shape) count *= static_cast<std::size_t>(extent);
  return count;
}

}  // namespace

// Units: the embedding where we have it, our blocks, the head where we have it, and a tied copy
// of the embedding where the head is here and the embedding is not.
FakeCell::FakeCell(const job::Job& job, const job::StageSpan& span, FakeCellOptions options)
    : job_(job),
      span_(span),
      options_(std::move(options)),
      specs_(job::parameters(job.model, span)) {
  const auto blocks = static_cast<std::size_t>(span.blocks());
  states_.resize((span.embedding ? 1u : 0u) + blocks + (span.head ? 1u : 0u));
  if (shares_tied_tensor() && span.head) {
    tied_ = states_.size();
    states_.emplace_back();
  }
}

std::size_t FakeCell::unit_of(const job::ParameterSpec& spec) const {
  const std::size_t first_block = span_.embedding ? 1 : 0;
  if (const auto block = block_of(spec)) {
    return first_block + static_cast<std::size_t>(*block - span_.block_begin());
  }
  if (spec.name != "model.embed_tokens.weight") return states_.size() - (tied_ > 0 ? 2 : 1);
  return span_.embedding ? 0 : tied_;
}

bool FakeCell::shares_tied_tensor() const {
  return job_.model.tie_word_embeddings && span_.embedding != span_.head;
}

void FakeCell::initialise() {
  for (const job::ParameterSpec& spec : specs_) {
    const auto block = block_of(spec);
    states_[unit_of(spec)] =
        mixed(job_.train.seed, hash_of(block ? fmt::format("{}", *block) : spec.name));
  }
}

void FakeCell::load(const ckpt::CheckpointReader& checkpoint, Step step) {
  load([&](const std::string& name, std::span<std::byte> into) { checkpoint.read(name, into); },
       step);
}

void FakeCell::load(const stage::TensorSource& source, Step) {
  for (const job::ParameterSpec& spec : specs_) {
    std::vector<std::byte> bytes(elements(spec) * sizeof(float));
    source(spec.name, bytes);
    std::memcpy(&states_[unit_of(spec)], bytes.data(), sizeof(std::uint64_t));
  }
}

stage::StateTensors FakeCell::state() {
  auto memory = std::make_shared<std::vector<std::vector<std::byte>>>();
  const auto view = [&](const std::string& name, const job::ParameterSpec& spec,
                        std::uint64_t value) {
    std::vector<std::byte>& bytes = memory->emplace_back(elements(spec) * sizeof(float));
    std::memcpy(bytes.data(), &value, sizeof(value));
    return ckpt::TensorView{{name, ckpt::Dtype::f32, spec.shape}, bytes};
  };
  stage::StateTensors state;
  for (const job::ParameterSpec& spec : specs_) {
    state.model.push_back(view(spec.name, spec, states_[unit_of(spec)]));
  }
  for (const job::ParameterSpec& spec : specs_) {
    state.optim.push_back(view(spec.name + ".exp_avg", spec, 0));
    state.optim.push_back(view(spec.name + ".exp_avg_sq", spec, 0));
  }
  state.owner = std::move(memory);
  return state;
}

void FakeCell::begin_step(Step) {
  lanes_.clear();
  held_.clear();
}

// `kept`, where it is asked for, has what each unit was given.
std::uint64_t FakeCell::through(Step step, std::uint64_t value,
                                std::vector<std::uint64_t>* kept) const {
  const std::size_t count = states_.size() - (tied_ > 0 ? 1 : 0);
  for (std::size_t i = 0; i < count; ++i) {
    if (kept != nullptr) kept->push_back(value);
    value = mixed(states_[i], mixed(value, step.value()));
  }
  return value;
}

std::optional<stage::Rows> FakeCell::forward(const stage::Work& work,
                                             const wire::Message* activation) {
  options_.compute(true);
  const std::uint64_t input =
      span_.embedding ? mixed(job_.train.seed, work.microbatch.value()) : value_of(*activation);
  std::vector<std::uint64_t>& kept = held_[work.microbatch];
  const std::uint64_t output = through(work.step, input, &kept);
  most_held_ = std::max(most_held_, held_.size());
  if (!span_.head) return rows(output, options_.payload_bytes);
  kept.push_back(output);
  lanes_[work.lane].loss_sum += fraction(output);
  return std::nullopt;
}

std::optional<stage::Rows> FakeCell::backward(const stage::Work& work,
                                              const wire::Message* gradient) {
  options_.compute(false);
  auto held = held_.extract(work.microbatch);
  if (!held) throw Error(ErrorKind::internal, "backward without its forward");
  std::vector<std::uint64_t>& kept = held.mapped();
  std::uint64_t value = 0;
  if (span_.head) {
    value = kept.back();
    kept.pop_back();
  } else {
    value = value_of(*gradient);
  }
  std::vector<std::uint64_t>& gradients = lanes_[work.lane].gradients;
  gradients.resize(states_.size());
  for (std::size_t i = kept.size(); i-- > 0;) {
    gradients[i] = mixed(gradients[i], mixed(value, kept[i]));
    value = mixed(states_[i], value);
  }
  if (!span_.embedding) return rows(value, options_.payload_bytes);
  return std::nullopt;
}

// What of the embedding's gradient is here: where it is embedded with, or where it is the head's.
std::uint64_t& FakeCell::tied_gradient(Lane& lane) {
  return span_.embedding ? lane.gradients.front() : lane.gradients[states_.size() - 2];
}

// With a tied head on one stage both shares are here; else they are exchanged and added.
std::optional<stage::Rows> FakeCell::finish_gradients(LaneIndex index) {
  Lane& lane = lanes_[index];
  if (job_.model.tie_word_embeddings && span_.embedding && span_.head) {
    lane.gradients.front() += lane.gradients.back();
  }
  if (!shares_tied_tensor()) return std::nullopt;
  return rows(tied_gradient(lane), sizeof(std::uint64_t));
}

void FakeCell::add_tied_gradient(LaneIndex index, const wire::Message& theirs) {
  Lane& lane = lanes_[index];
  const std::uint64_t sum = value_of(theirs) + tied_gradient(lane);
  (span_.embedding ? lane.gradients.front() : lane.gradients[tied_]) = sum;
}

// In pieces of 12 bits, of which thousands can be added without rounding.
std::vector<stage::LaneGradient> FakeCell::gradients() {
  std::vector<stage::LaneGradient> all;
  for (auto& [index, lane] : lanes_) {
    lane.flat.clear();
    for (const std::uint64_t gradient : lane.gradients) {
      for (unsigned shift = 0; shift < 64; shift += 12) {
        lane.flat.push_back(static_cast<float>(gradient >> shift & 0xfff));
      }
    }
    all.push_back({index, lane.flat});
  }
  return all;
}

void FakeCell::gradients_summed() {
  Lane& first = lanes_.begin()->second;
  const std::size_t pieces = first.flat.size() / states_.size();
  for (std::size_t i = 0; i < states_.size(); ++i) {
    first.gradients[i] = 0;
    for (std::size_t k = 0; k < pieces; ++k) {
      const auto piece = static_cast<std::uint64_t>(first.flat[i * pieces + k]);
      first.gradients[i] = mixed(first.gradients[i], piece);
    }
  }
}

stage::Readiness FakeCell::ready() {
  stage::Readiness readiness;
  for (const auto& [index, lane] : lanes_) readiness.loss_sums.push_back(lane.loss_sum);
  const Lane& first = lanes_.begin()->second;
  for (const job::ParameterSpec& spec : specs_) {
    readiness.gradient_squares.push_back(fraction(first.gradients[unit_of(spec)]));
  }
  if (tied_ > 0) readiness.gradient_squares.pop_back();  // the first stage's to count
  return readiness;
}

void FakeCell::apply(double learning_rate, double clip_factor) {
  const std::uint64_t verdict =
      mixed(std::bit_cast<std::uint64_t>(learning_rate), std::bit_cast<std::uint64_t>(clip_factor));
  const Lane& first = lanes_.begin()->second;
  for (std::size_t i = 0; i < states_.size(); ++i) {
    states_[i] = mixed(states_[i], mixed(first.gradients[i], verdict));
  }
}

void FakeCell::begin_evaluation() { eval_ = {}; }

std::optional<stage::Rows> FakeCell::evaluate(std::uint32_t batch,
                                              const wire::Message* activation) {
  const std::uint64_t input = span_.embedding ? mixed(batch, 7) : value_of(*activation);
  const std::uint64_t output = through(Step(0), input, nullptr);
  if (!span_.head) return rows(output, options_.payload_bytes);
  eval_.loss_sum += fraction(output);
  eval_.tokens += 1;
  return std::nullopt;
}

wire::EvalReport FakeCell::evaluated() { return eval_; }

stage::Rows FakeCell::rows(std::uint64_t value, std::size_t bytes) const {
  wire::MutableBuffer payload(std::max(bytes, sizeof(value)));
  std::ranges::fill(payload.bytes(), std::byte{0});
  std::memcpy(payload.data(), &value, sizeof(value));
  stage::Rows rows;
  rows.tensor = {.dtype = wire::DType::uint8,
                 .shape = {static_cast<std::int64_t>(payload.size())},
                 .codec = ""};
  rows.payload = std::move(payload).freeze();
  return rows;
}

std::uint64_t FakeCell::value_of(const wire::Message& message) const {
  std::uint64_t value = 0;
  if (message.payload.size() < sizeof(value)) {
    throw Error(ErrorKind::corrupt, wire::to_string(message.name) + ": too short");
  }
  std::memcpy(&value, message.payload.data(), sizeof(value));
  return value;
}

}  // namespace ptrain::sim
