#include "tools/stage/model/head.h"

#include <algorithm>

namespace ptrain::stage {
namespace {

// A chunk's logits should stay in the last-level cache; but each chunk reads the whole projection
// twice and adds to the whole of its gradient, which takes rows to be worth it.
constexpr std::int64_t kChunkBytes = 8 << 20;
constexpr std::int64_t kSmallestChunk = 512;
constexpr std::int64_t kRowBlock = 64;  // that products work in without a rest
// A GPU fills with more rows, reads the whole projection for each chunk, and waits for its loss.
constexpr std::int64_t kChunkBytesElsewhere = 256 << 20;

constexpr std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

// body(first row, rows) for each chunk.
template <class Body>
void for_each_chunk(std::int64_t rows, std::int64_t chunk, const Body& body) {
  for (std::int64_t first = 0; first < rows; first += chunk) {
    body(first, std::min(chunk, rows - first));
  }
}

}  // namespace

std::int64_t logits_rows(std::int64_t rows, std::int64_t vocab, at::Device device) {
  const std::int64_t bytes = device.is_cpu() ? kChunkBytes : kChunkBytesElsewhere;
  const std::int64_t fit = bytes / (vocab * static_cast<std::int64_t>(sizeof(float)));
  const std::int64_t most = std::max(kSmallestChunk, fit / kRowBlock * kRowBlock);
  if (rows <= most) return rows;
  // As many chunks as that takes, and no small one at the end.
  const std::int64_t chunks = divide_up(rows, most);
  return divide_up(divide_up(rows, chunks), kRowBlock) * kRowBlock;
}

HeadScratch::HeadScratch(std::int64_t rows, std::int64_t hidden, std::int64_t chunk,
                         std::int64_t vocab, at::TensorOptions compute, at::TensorOptions master)
    : normed(at::empty({rows, hidden}, compute)),
      d_normed(at::empty({rows, hidden}, compute)),
      logits(at::empty({chunk, vocab}, master)),
      d_logits(compute.dtype() == master.dtype() ? logits : at::empty(logits.sizes(), compute)) {}

double Head::loss(const at::Tensor& x, const at::Tensor& targets) {
  ops.rms_norm(x, norm.value, eps, scratch.normed);
  double total = 0.0;
  for_each_chunk(x.size(0), scratch.logits.size(0), [&](std::int64_t first, std::int64_t rows) {
    at::Tensor chunk = scratch.logits.narrow(0, 0, rows);
    ops.logits(scratch.normed.narrow(0, first, rows), projection.value, chunk);
    total += ops.cross_entropy(chunk, targets.narrow(0, first, rows), 0.0, {});
  });
  return total;
}

double Head::loss_and_gradient(const at::Tensor& x, const at::Tensor& targets, double scale,
                               at::Tensor dx) {
  ops.rms_norm(x, norm.value, eps, scratch.normed);
  double total = 0.0;
  for_each_chunk(x.size(0), scratch.logits.size(0), [&](std::int64_t first, std::int64_t rows) {
    const at::Tensor normed = scratch.normed.narrow(0, first, rows);
    at::Tensor chunk = scratch.logits.narrow(0, 0, rows);
    at::Tensor d_chunk = scratch.d_logits.narrow(0, 0, rows);
    ops.logits(normed, projection.value, chunk);
    total += ops.cross_entropy(chunk, targets.narrow(0, first, rows), scale, d_chunk);
    ops.linear_weight_gradient(d_chunk, normed, projection.grad);
    ops.linear_input_gradient(d_chunk, projection.value, scratch.d_normed.narrow(0, first, rows));
  });
  ops.rms_norm_backward(scratch.d_normed, x, norm.value, eps, {}, dx, norm.grad);
  return total;
}

at::Tensor Head::logits(const at::Tensor& x) {
  ops.rms_norm(x, norm.value, eps, scratch.normed);
  at::Tensor all = at::empty({x.size(0), projection.value.size(0)}, ops.master());
  ops.logits(scratch.normed, projection.value, all);
  return all;
}

}  // namespace ptrain::stage
