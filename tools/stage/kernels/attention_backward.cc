// Causal attention, backward: one item of work is a key-value head of a sequence with all
// the query heads that share it, so the sums over queries and heads have one order.

#include <cmath>

#include <omp.h>

#include "tools/stage/kernels/attention_tile.h"

namespace ptrain::stage::kernels::PTRAIN_ISA {
namespace {

// A thread's part of the workspace.
struct Buffers {
  float* query;             // [kBlock, width]
  float* query_transposed;  // [width, kBlock], times 1 / sqrt(head_dim)
  float* d_out;             // [kBlock, width]
  float* d_out_transposed;  // [width, kBlock]
  float* key;               // [kBlock, width]
  float* value;             // [kBlock, width]
  float* probability;       // [keys, queries]
  float* d_score;           // [keys, queries]
  float* d_query;           // [kBlock, width]
  float* log_sum_exp;       // [kBlock]
  float* delta;             // [kBlock], the sum of d_out * out
  float* d_key;             // [tokens, width]
  float* d_value;           // [tokens, width]

  Buffers(float* at, std::int64_t width, std::int64_t tokens) {
    const auto take = [&](std::int64_t floats) {
      float* taken = at;
      at += floats;
      return taken;
    };
    for (float** block :
         {&query, &query_transposed, &d_out, &d_out_transposed, &key, &value, &d_query}) {
      *block = take(kBlock * width);
    }
    probability = take(kBlock * kBlock);
    d_score = take(kBlock * kBlock);
    log_sum_exp = take(kBlock);
    delta = take(kBlock);
    d_key = take(tokens * width);
    d_value = take(tokens * width);
  }
};

// From scores and d_probability: p = e^(score - log_sum_exp), ds = p (dp - delta).
PTRAIN_INLINE void differentiate_softmax(const Buffers& b, std::int64_t keys, bool diagonal) {
  for (std::int64_t q = 0; q < kBlock; q += kLanes) {
    const F32x16 log_sum_exp = load(b.log_sum_exp + q);
    const F32x16 delta = load(b.delta + q);
    for (std::int64_t k = 0; k < keys; ++k) {
      float* score = b.probability + k * kBlock + q;
      float* d_score = b.d_score + k * kBlock + q;
      F32x16 p = exponential(load(score) - log_sum_exp);
      if (diagonal) p = select(query_lanes(q) < static_cast<std::int32_t>(k), F32x16{}, p);
      store(score, p);
      store(d_score, p * (load(d_score) - delta));
    }
  }
}

template <class T>
class HeadBackward {
 public:
  HeadBackward(const AttentionBackward<T>& kernel, const Buffers& buffers)
      : k_(kernel),
        b_(buffers),
        s_(kernel.shape),
        width_(padded(s_.head_dim)),
        scale_(1.0F / std::sqrt(static_cast<float>(s_.head_dim))) {}

  PTRAIN_INLINE void run(std::int64_t sequence, std::int64_t key_value_head) {
    for (std::int64_t i = 0; i < s_.tokens * width_; ++i) b_.d_key[i] = b_.d_value[i] = 0.0F;
    const std::int64_t group = s_.heads / s_.key_value_heads;
    const std::int64_t first_head = key_value_head * group;
    for (std::int64_t head = first_head; head < first_head + group; ++head) {
      for (std::int64_t first = 0; first < s_.tokens; first += kBlock) {
        load_queries(sequence, head, first);
        for (std::int64_t key = 0; key <= first; key += kBlock) {
          add_key_block(head_rows(k_.qkv, s_, sequence, head), key, first);
        }
        const HeadRows<T> to = head_rows(k_.d_qkv, s_, sequence, head);
        store_rows(b_.d_query, block_size(first), scale_, to.query + first * s_.qkv_width());
      }
    }
    const HeadRows<T> to = head_rows(k_.d_qkv, s_, sequence, first_head);
    store_rows(b_.d_key, s_.tokens, scale_, to.key);
    store_rows(b_.d_value, s_.tokens, 1.0F, to.value);
  }

 private:
  PTRAIN_INLINE std::int64_t block_size(std::int64_t first) const {
    return first + kBlock < s_.tokens ? kBlock : s_.tokens - first;
  }

  PTRAIN_INLINE void load_queries(std::int64_t sequence, std::int64_t head, std::int64_t first) {
    const std::int64_t queries = block_size(first);
    const std::int64_t stride = s_.qkv_width();
    const T* query = head_rows(k_.qkv, s_, sequence, head).query + first * stride;
    copy_rows(query, stride, queries, s_.head_dim, b_.query, width_);
    transpose(b_.query, queries, width_, scale_, b_.query_transposed);
    const std::int64_t row = (sequence * s_.tokens + first) * s_.out_width() + head * s_.head_dim;
    copy_rows(k_.d_out + row, s_.out_width(), queries, s_.head_dim, b_.d_out, width_);
    transpose(b_.d_out, queries, width_, 1.0F, b_.d_out_transposed);
    const float* log_sum_exp = k_.log_sum_exp + (sequence * s_.heads + head) * s_.tokens + first;
    for (std::int64_t q = 0; q < kBlock; ++q) {
      b_.log_sum_exp[q] = q < queries ? log_sum_exp[q] : 0.0F;
      F32x16 dot{};
      if (q < queries) {
        const T* out = k_.out + row + q * s_.out_width();
        for_each_vector(s_.head_dim, [&](std::int64_t i, auto part) {
          dot += part.get(out + i) * load(b_.d_out + q * width_ + i);
        });
      }
      b_.delta[q] = sum(dot);
    }
  }

  PTRAIN_INLINE void add_key_block(const HeadRows<const T>& rows, std::int64_t first_key,
                                   std::int64_t first_query) {
    const std::int64_t keys = block_size(first_key);
    const std::int64_t queries = block_size(first_query);
    const std::int64_t stride = s_.qkv_width();
    copy_rows(rows.key + first_key * stride, stride, keys, s_.head_dim, b_.key, width_);
    copy_rows(rows.value + first_key * stride, stride, keys, s_.head_dim, b_.value, width_);
    multiply(keys, kBlock, width_, {b_.key, width_, 1}, b_.query_transposed, kBlock, b_.probability,
             kBlock, false);
    multiply(keys, kBlock, width_, {b_.value, width_, 1}, b_.d_out_transposed, kBlock, b_.d_score,
             kBlock, false);
    differentiate_softmax(b_, keys, first_key == first_query);
    multiply(keys, width_, queries, {b_.probability, kBlock, 1}, b_.d_out, width_,
             b_.d_value + first_key * width_, width_, true);
    multiply(keys, width_, queries, {b_.d_score, kBlock, 1}, b_.query, width_,
             b_.d_key + first_key * width_, width_, true);
    multiply(queries, width_, keys, {b_.d_score, 1, kBlock}, b_.key, width_, b_.d_query, width_,
             first_key > 0);
  }

  PTRAIN_INLINE void store_rows(const float* from, std::int64_t count, float factor, T* to) {
    for (std::int64_t r = 0; r < count; ++r) {
      for_each_vector(s_.head_dim, [&](std::int64_t i, auto part) {
        part.put(to + r * s_.qkv_width() + i, load(from + r * width_ + i) * factor);
      });
    }
  }

  const AttentionBackward<T>& k_;
  const Buffers& b_;
  const AttentionShape& s_;
  const std::int64_t width_;
  const float scale_;
};

}  // namespace

template <class T>
void run(const AttentionBackward<T>& k) {
  const AttentionShape& s = k.shape;
  const std::int64_t floats = attention_backward_workspace(s);
#pragma omp parallel
  {
    const Buffers buffers(k.workspace + omp_get_thread_num() * floats, padded(s.head_dim),
                          s.tokens);
    HeadBackward<T> backward(k, buffers);
#pragma omp for schedule(dynamic, 1)
    for (std::int64_t item = 0; item < s.batch * s.key_value_heads; ++item) {
      backward.run(item / s.key_value_heads, item % s.key_value_heads);
    }
  }
}

template void run(const AttentionBackward<float>&);
template void run(const AttentionBackward<Bf16>&);

}  // namespace ptrain::stage::kernels::PTRAIN_ISA
