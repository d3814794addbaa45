#include "tools/stage/model/activations.h"

#include <initializer_list>

namespace ptrain::stage {
namespace {

at::Tensor hidden_buffer(const StageShape& shape) {
  return at::empty({shape.layer.rows(), shape.layer.hidden}, shape.compute);
}

std::int64_t bytes_of(std::initializer_list<at::Tensor> tensors) {
  std::int64_t total = 0;
  for (const at::Tensor& tensor : tensors) total += static_cast<std::int64_t>(tensor.nbytes());
  return total;
}

std::int64_t bytes_of(const LayerActivations& a) {
  return bytes_of({a.query_key_value, a.attention_output, a.log_sum_exp, a.residual, a.gate_up});
}

}  // namespace

Slot::Slot(const StageShape& shape, job::Recompute recompute) : gradient(hidden_buffer(shape)) {
  for (std::int64_t i = 0; i <= shape.layers; ++i) hidden.push_back(hidden_buffer(shape));
  if (recompute == job::Recompute::layer) return;
  for (std::int64_t i = 0; i < shape.layers; ++i) {
    layers.emplace_back(shape.layer, shape.compute, shape.master);
  }
}

std::int64_t Slot::bytes() const {
  std::int64_t total = bytes_of({gradient});
  for (const at::Tensor& tensor : hidden) total += bytes_of({tensor});
  for (const LayerActivations& layer : layers) total += bytes_of(layer);
  return total;
}

Workspace::Workspace(const StageShape& stage)
    : shape(stage.layer),
      scratch(stage.layer, stage.compute),
      activations(stage.layer, stage.compute, stage.master),
      hidden{hidden_buffer(stage), hidden_buffer(stage)} {
  if (stage.head) {
    head.emplace(shape.rows(), shape.hidden, stage.logits_rows, stage.vocab, stage.compute,
                 stage.master);
  }
}

std::int64_t Workspace::bytes() const {
  const LayerScratch& s = scratch;
  std::int64_t total = bytes_of(activations) +
                       bytes_of({s.normed, s.product, s.d_gate_up, s.d_normed, s.d_residual,
                                 s.d_attention_output, s.d_query_key_value, hidden[0], hidden[1]});
  if (head) {
    total += bytes_of({head->normed, head->d_normed, head->logits});
    if (!head->d_logits.is_same(head->logits)) total += bytes_of({head->d_logits});
  }
  return total;
}

}  // namespace ptrain::stage
