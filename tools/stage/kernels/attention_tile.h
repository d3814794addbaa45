// What attention's forward and backward share: blocks of at most 64 tokens in float32, and
// small matrix products of them that stay in the nearest cache. For kernel sources only.
//
// Scores are kept transposed, one row for each key and one column for each query, so that the
// softmax of 16 queries is computed side by side without a horizontal sum.

#pragma once

#include "tools/stage/kernels/kernels.h"
#include "tools/stage/kernels/vector.h"

namespace ptrain::stage::kernels::PTRAIN_ISA {

constexpr std::int64_t kBlock = kAttentionBlock;  // tokens, of queries and of keys

// The accumulators of one tile and the rows of B it reads must fit the registers: 32 of 512
// bits with AVX-512, 16 of 256 with AVX2, 32 of 128 with NEON, 16 of those with SSE.
#if defined(__AVX512F__)
constexpr int kTileRows = 8;
constexpr int kTileVectors = 2;
#elif defined(__AVX__) || defined(__aarch64__)
constexpr int kTileRows = 6;
constexpr int kTileVectors = 1;
#else
constexpr int kTileRows = 2;
constexpr int kTileVectors = 1;
#endif

// A matrix operand read one element at a time: element (i, k) is at[i * row + k * column].
struct Scalars {
  const float* at;
  std::int64_t row;
  std::int64_t column;
};

template <int Rows, int Vectors>
PTRAIN_INLINE void multiply_tile(std::int64_t depth, Scalars a, const float* b, std::int64_t b_row,
                                 float* c, std::int64_t c_row, bool add) {
  F32x16 sums[Rows][Vectors];
  for (int i = 0; i < Rows; ++i) {
    for (int v = 0; v < Vectors; ++v) {
      sums[i][v] = add ? load(c + i * c_row + v * kLanes) : F32x16{};
    }
  }
  for (std::int64_t k = 0; k < depth; ++k) {
    F32x16 columns[Vectors];
    for (int v = 0; v < Vectors; ++v) columns[v] = load(b + k * b_row + v * kLanes);
    for (int i = 0; i < Rows; ++i) {
      const F32x16 x = splat(a.at[i * a.row + k * a.column]);
      for (int v = 0; v < Vectors; ++v) sums[i][v] += x * columns[v];
    }
  }
  for (int i = 0; i < Rows; ++i) {
    for (int v = 0; v < Vectors; ++v) store(c + i * c_row + v * kLanes, sums[i][v]);
  }
}

template <int Vectors>
PTRAIN_INLINE void multiply_columns(std::int64_t rows, std::int64_t depth, Scalars a,
                                    const float* b, std::int64_t b_row, float* c,
                                    std::int64_t c_row, bool add) {
  std::int64_t i = 0;
  const auto rest = [&] { return Scalars{a.at + i * a.row, a.row, a.column}; };
  for (; i + kTileRows <= rows; i += kTileRows) {
    multiply_tile<kTileRows, Vectors>(depth, rest(), b, b_row, c + i * c_row, c_row, add);
  }
  for (; i < rows; ++i) {
    multiply_tile<1, Vectors>(depth, rest(), b, b_row, c + i * c_row, c_row, add);
  }
}

// c (+)= a b with a [rows, depth], b [depth, columns], columns a multiple of 16.
inline __attribute__((noinline)) void multiply(std::int64_t rows, std::int64_t columns,
                                               std::int64_t depth, Scalars a, const float* b,
                                               std::int64_t b_row, float* c, std::int64_t c_row,
                                               bool add) {
  std::int64_t j = 0;
  for (; j + kTileVectors * kLanes <= columns; j += kTileVectors * kLanes) {
    multiply_columns<kTileVectors>(rows, depth, a, b + j, b_row, c + j, c_row, add);
  }
  for (; j < columns; j += kLanes) {
    multiply_columns<1>(rows, depth, a, b + j, b_row, c + j, c_row, add);
  }
}

// head_dim rounded up to whole vectors.
constexpr std::int64_t padded(std::int64_t head_dim) {
  return (head_dim + kLanes - 1) / kLanes * kLanes;
}

// Copies a block of `count` tokens, zero-padded to `width` columns, into `to` [kBlock, width].
template <class T>
PTRAIN_INLINE void copy_rows(const T* from, std::int64_t stride, std::int64_t count,
                             std::int64_t head_dim, float* to, std::int64_t width) {
  for (std::int64_t r = 0; r < count; ++r) {
    for_each_vector(head_dim, [&](std::int64_t i, auto part) {
      store(to + r * width + i, part.get(from + r * stride + i));
    });
  }
}

// to [width, kBlock] = from [count, width]^T * factor; the columns past count become 0.
PTRAIN_INLINE void transpose(const float* from, std::int64_t count, std::int64_t width,
                             float factor, float* to) {
  for (std::int64_t c = 0; c < width; ++c) {
    std::int64_t r = 0;
    for (; r < count; ++r) to[c * kBlock + r] = from[r * width + c] * factor;
    for (; r < kBlock; ++r) to[c * kBlock + r] = 0.0F;
  }
}

// Index of key token - index of query token, for the mask of a block on the diagonal.
PTRAIN_INLINE I32x16 query_lanes(std::int64_t first) {
  constexpr std::int32_t kLane[kLanes] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  return load_bytes<I32x16>(kLane) + static_cast<std::int32_t>(first);
}

// The pointers of one sequence and head into the rows of qkv.
template <class T>
struct HeadRows {
  T* query;
  T* key;
  T* value;
};
template <class T>
PTRAIN_INLINE HeadRows<T> head_rows(T* qkv, const AttentionShape& s, std::int64_t sequence,
                                    std::int64_t head) {
  T* row = qkv + sequence * s.tokens * s.qkv_width();
  const std::int64_t key_value_head = head / (s.heads / s.key_value_heads);
  T* key = row + (s.heads + key_value_head) * s.head_dim;
  return {row + head * s.head_dim, key, key + s.key_value_heads * s.head_dim};
}

}  // namespace ptrain::stage::kernels::PTRAIN_ISA
