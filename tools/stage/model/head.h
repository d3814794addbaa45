// The end of the model: final norm, projection to the vocabulary, and cross-entropy. The
// logits of a microbatch never exist at once: rows are taken in chunks, and a chunk's loss,
// gradient and share of the weight gradient are done before the next one's logits.

#pragma once

#include <cstdint>

#include <ATen/ATen.h>

#include "tools/stage/model/ops.h"
#include "tools/stage/model/parameter_store.h"

namespace ptrain::stage {

// Rows of a chunk, of `rows` in all: as many as `device` computes well. They decide in which order
// the projection's gradient is summed, and so its last bits.
std::int64_t logits_rows(std::int64_t rows, std::int64_t vocab, at::Device device);

struct HeadScratch {
  at::Tensor normed;    // [n, d]
  at::Tensor d_normed;  // [n, d]
  at::Tensor logits;    // [chunk, vocab] in the master dtype
  at::Tensor d_logits;  // the same in the compute dtype; `logits` itself where they agree

  HeadScratch(std::int64_t rows, std::int64_t hidden, std::int64_t chunk, std::int64_t vocab,
              at::TensorOptions compute, at::TensorOptions master);
};

// Borrows everything; made for a single call.
struct Head {
  Ops& ops;
  const Weight& norm;
  const Weight& projection;
  double eps;
  HeadScratch& scratch;

  // The sum of the cross-entropy in nats over the rows of x.
  double loss(const at::Tensor& x, const at::Tensor& targets);
  // The same, and dx, the gradient of scale * loss; accumulates the weights' gradients.
  double loss_and_gradient(const at::Tensor& x, const at::Tensor& targets, double scale,
                           at::Tensor dx);
  // [rows of x, vocab]
  at::Tensor logits(const at::Tensor& x);
};

}  // namespace ptrain::stage
