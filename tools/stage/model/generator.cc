#include "tools/stage/model/generator.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "tools/stage/model/attention_block.h"
#include "tools/stage/model/mlp_block.h"
#include "tools/stage/model/ops.h"
#include "tools/stage/model/rope_table.h"

namespace ptrain::stage {
namespace {

constexpr std::size_t kLayerParameters = AttentionWeights::kParameters + MlpWeights::kParameters;

// One layer's keys and values so far.
struct Cache {
  at::Tensor keys;  // [key_value_heads, max_tokens, head_dim]
  at::Tensor values;
};

}  // namespace

struct Generator::State {
  StageModel& model;
  const job::ModelConfig& config;
  std::int64_t max_tokens;
  std::int64_t position = 0;
  std::unique_ptr<Ops> ops;
  RopeTable rope;
  std::vector<Cache> caches;
  at::Tensor logits;

  State(StageModel& whole_model, std::int64_t limit)
      : model(whole_model),
        config(whole_model.config()),
        max_tokens(limit),
        ops(make_ops(at::kCPU, job::ComputePrecision::float32)),
        rope(make_rope_table(config, limit, at::kFloat)),
        logits(at::empty({1, config.vocab_size}, at::kFloat)) {
    const auto cache = [&] {
      return at::empty({config.num_key_value_heads, limit, config.head_dim}, at::kFloat);
    };
    for (std::int64_t i = 0; i < config.num_hidden_layers; ++i)
      caches.push_back({cache(), cache()});
  }

  const at::Tensor& weight(std::size_t index) const { return model.parameters()[index].value; }

  at::Tensor empty(std::int64_t rows, std::int64_t columns) const {
    return at::empty({rows, columns}, at::kFloat);
  }

  at::Tensor norm(const at::Tensor& x, std::size_t weight_index) {
    at::Tensor y = at::empty_like(x);
    ops->rms_norm(x, weight(weight_index), config.rms_norm_eps, y);
    return y;
  }

  at::Tensor linear(const at::Tensor& x, const at::Tensor& w, const at::Tensor& residual = {}) {
    at::Tensor y = empty(x.size(0), w.size(0));
    ops->linear(x, w, residual, y);
    return y;
  }

  // Appends the new tokens' keys and values and mixes those up to each new token.
  at::Tensor attend(const at::Tensor& qkv, Cache& cache, std::int64_t count) {
    const std::int64_t heads = config.num_attention_heads;
    const std::int64_t shared = config.num_key_value_heads;
    const std::int64_t group = heads / shared;
    const std::int64_t total = position + count;
    const at::Tensor rows = qkv.view({count, heads + 2 * shared, config.head_dim}).transpose(0, 1);
    cache.keys.narrow(1, position, count).copy_(rows.narrow(0, heads, shared));
    cache.values.narrow(1, position, count).copy_(rows.narrow(0, heads + shared, shared));

    const at::Tensor query =
        rows.narrow(0, 0, heads).reshape({shared, group * count, config.head_dim});
    at::Tensor scores = at::bmm(query, cache.keys.narrow(1, 0, total).transpose(1, 2))
                            .div_(std::sqrt(static_cast<double>(config.head_dim)))
                            .view({shared, group, count, total});
    if (count > 1) {
      const at::Tensor later = at::ones({count, total}, at::kBool).triu(position + 1);
      scores.masked_fill_(later, -std::numeric_limits<double>::infinity());
    }
    const at::Tensor attention_output = at::bmm(
        scores.softmax(-1).view({shared, group * count, total}), cache.values.narrow(1, 0, total));
    return attention_output.view({heads, count, config.head_dim})
        .transpose(0, 1)
        .reshape({count, -1});
  }

  at::Tensor layer(const at::Tensor& x, std::size_t index) {
    const std::size_t first = 1 + index * kLayerParameters;
    const std::int64_t count = x.size(0);
    const at::Tensor h = norm(x, first);
    at::Tensor qkv = at::cat(
        {linear(h, weight(first + 1)), linear(h, weight(first + 2)), linear(h, weight(first + 3))},
        1);
    const RopeTable here{rope.cosine.narrow(0, position, count),
                         rope.sine.narrow(0, position, count)};
    const AttentionShape shape{.batch = 1,
                               .tokens = count,
                               .heads = config.num_attention_heads,
                               .key_value_heads = config.num_key_value_heads,
                               .head_dim = config.head_dim};
    ops->rope(qkv, here, shape, Rotation::forward);
    const at::Tensor residual = linear(attend(qkv, caches[index], count), weight(first + 4), x);

    const at::Tensor g = norm(residual, first + 5);
    const at::Tensor gate_up =
        at::cat({linear(g, weight(first + 6)), linear(g, weight(first + 7))}, 1);
    at::Tensor product = empty(count, config.intermediate_size);
    ops->swiglu(gate_up, product);
    return linear(product, weight(first + 8), residual);
  }

  void append(const at::Tensor& tokens) {
    at::Tensor x = empty(tokens.size(0), config.hidden_size);
    ops->embedding(tokens, weight(0), x);
    for (std::size_t i = 0; i < caches.size(); ++i) x = layer(x, i);
    position += tokens.size(0);
    const std::size_t final_norm = 1 + caches.size() * kLayerParameters;
    const at::Tensor last = norm(x.narrow(0, x.size(0) - 1, 1), final_norm);
    ops->logits(last, weight(config.tie_word_embeddings ? 0 : final_norm + 1), logits);
  }
};

Generator::Generator(StageModel& whole_model, std::int64_t max_tokens) {
  const job::StageSpan all{0, whole_model.config().num_hidden_layers, true, true};
  if (whole_model.span() != all || whole_model.options().device != at::kCPU) {
    throw Error(ErrorKind::internal, "a generator needs a model of all layers on the CPU");
  }
  state_ = std::make_unique<State>(whole_model, max_tokens);
}

Generator::~Generator() = default;

std::int64_t Generator::position() const { return state_->position; }

std::span<const float> Generator::next_logits(std::span<const std::int32_t> new_tokens) {
  const auto count = static_cast<std::int64_t>(new_tokens.size());
  if (count == 0 || state_->position + count > state_->max_tokens) {
    throw Error(ErrorKind::usage,
                fmt::format("{} new tokens after {} of at most {}", count, state_->position,
                            state_->max_tokens),
                "give a prompt that is not empty, and ask for fewer tokens");
  }
  const std::int64_t vocab = state_->config.vocab_size;
  for (const std::int32_t token : new_tokens) {
    if (token >= 0 && token < vocab) continue;
    throw Error(ErrorKind::usage,
                fmt::format("token {} of the prompt; the model's vocabulary has {}", token, vocab),
                "use the tokenizer that the model was trained with");
  }
  const at::Tensor tokens = at::empty({count}, at::kInt);
  std::copy(new_tokens.begin(), new_tokens.end(), tokens.data_ptr<std::int32_t>());
  state_->append(tokens);
  return {state_->logits.data_ptr<float>(), static_cast<std::size_t>(vocab)};
}

}  // namespace ptrain::stage
