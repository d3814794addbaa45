// Causal attention, forward: one item of work is a block of queries of one head.

#include <cmath>

#include <omp.h>

#include "tools/stage/kernels/attention_tile.h"

namespace ptrain::stage::kernels::PTRAIN_ISA {
namespace {

// A thread's part of the workspace.
struct Buffers {
  float* query;             // [kBlock, width]
  float* query_transposed;  // [width, kBlock]
  float* key;               // [kBlock, width]
  float* value;             // [kBlock, width]
  float* scores;            // [keys, queries]
  float* out;               // [kBlock, width]
  float* maximum;           // [kBlock], of the scores so far
  float* total;             // [kBlock], of e^(score - maximum) so far
  float* rescale;           // [kBlock]

  Buffers(float* at, std::int64_t width) {
    const auto take = [&](std::int64_t floats) {
      float* taken = at;
      at += floats;
      return taken;
    };
    query = take(kBlock * width);
    query_transposed = take(kBlock * width);
    key = take(kBlock * width);
    value = take(kBlock * width);
    scores = take(kBlock * kBlock);
    out = take(kBlock * width);
    maximum = take(kBlock);
    total = take(kBlock);
    rescale = take(kBlock);
  }
};

// Turns the scores of `keys` keys into probabilities relative to the running maximum and
// brings maximum, total and rescale up to date. On the diagonal, keys after the query are out.
PTRAIN_INLINE void softmax_block(const Buffers& b, std::int64_t keys, bool diagonal) {
  const F32x16 masked = splat(-__builtin_inff());
  for (std::int64_t q = 0; q < kBlock; q += kLanes) {
    float* column = b.scores + q;
    const F32x16 before = load(b.maximum + q);
    F32x16 largest = before;
    for (std::int64_t k = 0; k < keys; ++k) {
      F32x16 score = load(column + k * kBlock);
      if (diagonal) {
        score = select(query_lanes(q) < static_cast<std::int32_t>(k), masked, score);
        store(column + k * kBlock, score);
      }
      largest = maximum(score, largest);
    }
    const F32x16 rescale = exponential(before - largest);
    F32x16 total = load(b.total + q) * rescale;
    for (std::int64_t k = 0; k < keys; ++k) {
      const F32x16 e = exponential(load(column + k * kBlock) - largest);
      total += e;
      store(column + k * kBlock, e);
    }
    store(b.maximum + q, largest);
    store(b.total + q, total);
    store(b.rescale + q, rescale);
  }
}

template <class T>
PTRAIN_INLINE void attend(const Attention<T>& k, std::int64_t sequence, std::int64_t head,
                          std::int64_t first_query, const Buffers& b) {
  const AttentionShape& s = k.shape;
  const std::int64_t width = padded(s.head_dim);
  const std::int64_t stride = s.qkv_width();
  const HeadRows<const T> rows = head_rows(k.qkv, s, sequence, head);
  const auto block_size = [&](std::int64_t first) {
    return first + kBlock < s.tokens ? kBlock : s.tokens - first;
  };

  const std::int64_t queries = block_size(first_query);
  copy_rows(rows.query + first_query * stride, stride, queries, s.head_dim, b.query, width);
  transpose(b.query, queries, width, 1.0F / std::sqrt(static_cast<float>(s.head_dim)),
            b.query_transposed);
  for (std::int64_t q = 0; q < kBlock; q += kLanes) {
    store(b.maximum + q, splat(-__builtin_inff()));
    store(b.total + q, F32x16{});
  }
  for (std::int64_t first_key = 0; first_key <= first_query; first_key += kBlock) {
    const std::int64_t keys = block_size(first_key);
    copy_rows(rows.key + first_key * stride, stride, keys, s.head_dim, b.key, width);
    copy_rows(rows.value + first_key * stride, stride, keys, s.head_dim, b.value, width);
    multiply(keys, kBlock, width, {b.key, width, 1}, b.query_transposed, kBlock, b.scores, kBlock,
             false);
    softmax_block(b, keys, first_key == first_query);
    if (first_key > 0) {
      for (std::int64_t q = 0; q < queries; ++q) {
        for (std::int64_t i = 0; i < width; i += kLanes) {
          store(b.out + q * width + i, load(b.out + q * width + i) * b.rescale[q]);
        }
      }
    }
    multiply(queries, width, keys, {b.scores, 1, kBlock}, b.value, width, b.out, width,
             first_key > 0);
  }
  float* log_sum_exp = k.log_sum_exp + (sequence * s.heads + head) * s.tokens + first_query;
  for (std::int64_t q = 0; q < queries; ++q) {
    const float inverse = 1.0F / b.total[q];
    T* out = k.out + (sequence * s.tokens + first_query + q) * s.out_width() + head * s.head_dim;
    for_each_vector(s.head_dim, [&](std::int64_t i, auto part) {
      part.put(out + i, load(b.out + q * width + i) * inverse);
    });
    log_sum_exp[q] = b.maximum[q] + std::log(b.total[q]);
  }
}

}  // namespace

template <class T>
void run(const Attention<T>& k) {
  const AttentionShape& s = k.shape;
  const std::int64_t blocks = (s.tokens + kBlock - 1) / kBlock;
  const std::int64_t floats = attention_forward_workspace(s);
#pragma omp parallel
  {
    const Buffers buffers(k.workspace + omp_get_thread_num() * floats, padded(s.head_dim));
    // Later blocks see more keys: handed out singly, longest first.
#pragma omp for schedule(dynamic, 1)
    for (std::int64_t item = 0; item < blocks * s.batch * s.heads; ++item) {
      const std::int64_t block = blocks - 1 - item / (s.batch * s.heads);
      const std::int64_t sequence = item % (s.batch * s.heads) / s.heads;
      attend(k, sequence, item % s.heads, block * kBlock, buffers);
    }
  }
}

template void run(const Attention<float>&);
template void run(const Attention<Bf16>&);

}  // namespace ptrain::stage::kernels::PTRAIN_ISA
