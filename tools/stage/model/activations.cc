#include "tools/stage/model/activations.h"

#include <initializer_list>

namespace ptrain::stage {
namespace {

at::Tensor hidden_buffer(const StageShape& shape) {
  return at::empty({shape.layer.rows(), shape.layer.hidden}, shape.compute);
}

std::int64_t bytes_of(std::initializer_list<at::Tensor> tensors) {
  std::int64_t total = 0;
  for (const at::Tensor& tensor : tensors) {
    if (tensor.defined()) total += static_cast<std::int64_t>(tensor.nbytes());
  }
  return total;
}

std::int64_t bytes_of(const AttentionActivations& a) {
  return bytes_of({a.query_key_value, a.attention_output, a.log_sum_exp});
}

std::int64_t bytes_of(const MlpActivations& a) { return bytes_of({a.gate_up}); }

BlockActivations block_activations(const StageShape& shape, bool attention) {
  if (attention) return AttentionActivations(shape.layer, shape.compute, shape.master);
  return MlpActivations(shape.layer, shape.compute);
}

}  // namespace

Slot::Slot(const StageShape& shape, job::Recompute recompute)
    : output(hidden_buffer(shape)), gradient(hidden_buffer(shape)) {
  const job::StageSpan& span = shape.span;
  for (std::int64_t block = span.block_begin(); block < span.block_end(); ++block) {
    const bool attention = job::is_attention(block);
    const bool again = recompute == job::Recompute::layer;
    const bool inside_layer = !attention && block > span.block_begin();
    inputs.push_back(again && inside_layer ? at::Tensor() : hidden_buffer(shape));
    if (!again) blocks.push_back(block_activations(shape, attention));
  }
}

std::int64_t Slot::bytes() const {
  std::int64_t total = bytes_of({output, gradient});
  for (const at::Tensor& input : inputs) total += bytes_of({input});
  for (const BlockActivations& block : blocks) {
    total += std::visit([](const auto& kept) { return bytes_of(kept); }, block);
  }
  return total;
}

Workspace::Workspace(const StageShape& stage)
    : shape(stage.layer),
      scratch(stage.layer, stage.compute),
      attention(stage.layer, stage.compute, stage.master),
      mlp(stage.layer, stage.compute),
      d_attention(stage.layer, stage.compute),
      d_mlp(stage.layer, stage.compute),
      hidden{hidden_buffer(stage), hidden_buffer(stage)},
      gradient(hidden_buffer(stage)) {
  if (stage.span.head) {
    head.emplace(shape.rows(), shape.hidden, stage.logits_rows, stage.vocab, stage.compute,
                 stage.master);
  }
}

std::int64_t Workspace::bytes() const {
  std::int64_t total = bytes_of(attention) + bytes_of(mlp) +
                       bytes_of({scratch.normed, scratch.d_normed, d_attention.d_attention_output,
                                 d_attention.d_query_key_value, d_mlp.product, d_mlp.d_gate_up,
                                 hidden[0], hidden[1], gradient});
  if (head) {
    total += bytes_of({head->normed, head->d_normed, head->logits});
    if (!head->d_logits.is_same(head->logits)) total += bytes_of({head->d_logits});
  }
  return total;
}

}  // namespace ptrain::stage
