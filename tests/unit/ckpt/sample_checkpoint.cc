#include "tests/unit/ckpt/sample_checkpoint.h"

#include <random>

namespace ptrain::ckpt {
namespace {

constexpr const char* kMoments[] = {".exp_avg", ".exp_avg_sq"};

job::ModelConfig sample_model(const SampleOptions& options) {
  job::ModelConfig model;
  model.vocab_size = 32;
  model.hidden_size = options.hidden_size;
  model.intermediate_size = 2 * options.hidden_size;
  model.num_hidden_layers = options.layers;
  model.num_attention_heads = 2;
  model.num_key_value_heads = 1;
  model.head_dim = options.hidden_size / 2;
  model.max_position_embeddings = 64;
  model.tie_word_embeddings = options.tied;
  return model;
}

std::vector<std::byte> random_bytes(std::size_t size, const std::string& key) {
  std::mt19937_64 random(std::hash<std::string>{}(key));
  std::vector<std::byte> bytes(size);
  for (std::byte& b : bytes) b = static_cast<std::byte>(random());
  return bytes;
}

// Stages that end at these layers.
std::vector<job::StageSpan> spans_of(const std::vector<std::int64_t>& ends) {
  std::vector<job::StageSpan> spans;
  for (std::size_t i = 0; i < ends.size(); ++i) {
    spans.push_back({i == 0 ? 0 : ends[i - 1], ends[i], i == 0, i + 1 == ends.size()});
  }
  return spans;
}

}  // namespace

SampleCheckpoint::SampleCheckpoint(Step step, const SampleOptions& options)
    : run_{step,
           step.value() * 16,
           sample_model(options),
           R"({"job":"sample"})",
           to_hex(sha256("job")),
           to_hex(sha256("resume")),
           to_hex(sha256("data"))},
      tokenizer_(options.tokenizer) {
  const std::string suffix = std::to_string(options.seed) + "/" + std::to_string(step.value());
  for (const auto& parameter : job::parameters(run_.model)) {
    const std::size_t bytes = *byte_size({parameter.name, Dtype::f32, parameter.shape});
    const auto add = [&](const std::string& name) {
      tensors_[name] = random_bytes(bytes, name + suffix);
    };
    add(parameter.name);
    for (const char* moment : kMoments) add(parameter.name + moment);
  }
}

StageState SampleCheckpoint::stage(std::uint32_t stage,
                                   const std::vector<std::int64_t>& cut) const {
  return stage_of(stage, spans_of(cut));
}

StageState SampleCheckpoint::stage_of(std::uint32_t stage,
                                      const std::vector<job::StageSpan>& cut) const {
  StageState state;
  state.run = run_;
  state.stage = StageIndex(stage);
  state.stage_count = static_cast<std::uint32_t>(cut.size());
  state.span = cut[stage];
  if (state.span.embedding && !tokenizer_.empty()) state.tokenizer = tokenizer_;
  for (const auto& parameter : job::parameters(run_.model, state.span)) {
    const auto view = [&](const std::string& name) {
      return TensorView{{name, Dtype::f32, parameter.shape}, tensors_.at(name)};
    };
    state.model.push_back(view(parameter.name));
    for (const char* moment : kMoments) state.optim.push_back(view(parameter.name + moment));
  }
  return state;
}

CheckpointId SampleCheckpoint::save(CheckpointStore& store,
                                    const std::vector<std::int64_t>& cut) const {
  return save_cut(store, spans_of(cut));
}

CheckpointId SampleCheckpoint::save_cut(CheckpointStore& store,
                                        const std::vector<job::StageSpan>& cut) const {
  std::vector<StageRecord> records;
  for (std::uint32_t i = 0; i < cut.size(); ++i) {
    records.push_back(store.write_stage(stage_of(i, cut)));
  }
  return store.write_manifest(make_manifest(records));
}

}  // namespace ptrain::ckpt
