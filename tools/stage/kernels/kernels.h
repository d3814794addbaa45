// The fused CPU kernels of the model, over raw pointers: no libtorch here.
//
// A kernel is a struct of its operands, executed by run(kernel). T is how activations are
// stored (float or Bf16); all arithmetic is float32. Matrices are row-major. Rows are tokens:
// row r of a microbatch is token r % tokens of sequence r / tokens.
//
// Each source is compiled for several instruction sets and the best one of this processor
// is chosen at run time. Results are reproducible on one processor: the order of every
// summation is fixed by the operands' shapes and does not depend on the number of OpenMP
// threads. Instruction sets may differ in the last bit, where they fuse multiply and add.
//
// Borrowed memory only; outputs may alias inputs where a comment says so. The caller
// guarantees shapes; kernels do not check.

#pragma once

#include <cstdint>
#include <span>

#include "tools/stage/kernels/bfloat16.h"

namespace ptrain::stage::kernels {

enum class InstructionSet { baseline, avx2, avx512 };

// Those that this processor has, in ascending order, up to the one that ATEN_CPU_CAPABILITY
// (default, avx2 or avx512; libtorch's variable) names.
std::span<const InstructionSet> instruction_sets();

// y = x / sqrt(mean(x^2) + eps) * weight, by row (Zhang and Sennrich, 2019).
template <class T>
struct RmsNorm {
  const T* x;
  const float* weight;
  T* y;
  std::int64_t rows;
  std::int64_t width;
  float eps;
};

// dx = d(rms_norm)/dx dy (+ residual, where not null), dweight += the weight's gradient.
// dx may be residual. `partials` has rms_norm_partials(rows) * width floats.
template <class T>
struct RmsNormBackward {
  const T* dy;
  const T* x;
  const float* weight;
  const T* residual;
  T* dx;
  float* dweight;
  float* partials;
  std::int64_t rows;
  std::int64_t width;
  float eps;
};
inline constexpr std::int64_t kRmsNormRowsPerPartial = 128;
constexpr std::int64_t rms_norm_partials(std::int64_t rows) {
  return (rows + kRmsNormRowsPerPartial - 1) / kRmsNormRowsPerPartial;
}

// Rotary position embedding (Su et al., 2021) in the half-split layout of Hugging Face's
// Llama, in place on the first `heads` heads of every row. cosine and sine are [tokens,
// head_dim / 2]; sign -1 rotates back, which is the backward.
template <class T>
struct Rope {
  T* x;
  std::int64_t stride;  // of a row
  const float* cosine;
  const float* sine;
  std::int64_t rows;
  std::int64_t tokens;
  std::int64_t heads;
  std::int64_t head_dim;
  float sign;
};

// out = silu(gate) * up (Shazeer, 2020); a row of gate_up is gate, then up.
template <class T>
struct SwiGlu {
  const T* gate_up;  // [rows, 2 width]
  T* out;            // [rows, width]
  std::int64_t rows;
  std::int64_t width;
};

// d_gate_up from d_out, and the forward's product once more, for the weights' gradient.
// product may be d_out.
template <class T>
struct SwiGluBackward {
  const T* gate_up;
  const T* d_out;
  T* d_gate_up;
  T* product;
  std::int64_t rows;
  std::int64_t width;
};

// Tokens of the blocks that attention works in.
inline constexpr std::int64_t kAttentionBlock = 64;

struct AttentionShape {
  std::int64_t batch;
  std::int64_t tokens;
  std::int64_t heads;            // of the queries
  std::int64_t key_value_heads;  // divides heads
  std::int64_t head_dim;

  std::int64_t qkv_width() const { return (heads + 2 * key_value_heads) * head_dim; }
  std::int64_t out_width() const { return heads * head_dim; }
};

// Causal attention, softmax(q k^T / sqrt(head_dim)) v, block by block with a running maximum
// and sum (Dao et al., 2022, algorithm 1); blocks above the diagonal are skipped and only the
// logarithm of the sum is kept. A row of qkv is all queries, then keys, then values.
// `workspace` has attention_forward_workspace(shape) floats for each thread, 64-byte aligned.
template <class T>
struct Attention {
  const T* qkv;        // [batch * tokens, qkv_width]
  T* out;              // [batch * tokens, out_width]
  float* log_sum_exp;  // [batch, heads, tokens]
  AttentionShape shape;
  float* workspace;
};

// d_qkv (every element written) from d_out (Dao et al., 2022, algorithm 4, with the loop over
// queries outside). `workspace` has attention_backward_workspace(shape) floats for each thread.
template <class T>
struct AttentionBackward {
  const T* qkv;
  const T* out;
  const T* d_out;
  const float* log_sum_exp;
  T* d_qkv;
  AttentionShape shape;
  float* workspace;
};
std::int64_t attention_forward_workspace(const AttentionShape& shape);
std::int64_t attention_backward_workspace(const AttentionShape& shape);

// losses[r] = logsumexp(logits[r]) - logits[r][targets[r]], in nats. Where d_logits is not
// null, it gets scale * (softmax(logits) - onehot(target)); d_logits may be logits, which are
// overwritten in any case.
template <class T>
struct CrossEntropy {
  float* logits;  // [rows, vocab]
  const std::int32_t* targets;
  double* losses;  // [rows]
  T* d_logits;
  std::int64_t rows;
  std::int64_t vocab;
  float scale;
};

// out[r] = table[tokens[r]].
template <class T>
struct Embedding {
  const std::int32_t* tokens;
  const T* table;  // [vocab, width]
  T* out;          // [rows, width]
  std::int64_t rows;
  std::int64_t width;
};

// d_table[tokens[r]] += d_out[r], in the order of the rows.
template <class T>
struct EmbeddingBackward {
  const std::int32_t* tokens;
  const T* d_out;
  float* d_table;
  std::int64_t rows;
  std::int64_t width;
};

// One AdamW update (optim/adamw.h). `compute` may be null.
struct AdamWUpdate {
  float* value;
  const float* grad;
  float* exp_avg;
  float* exp_avg_sq;
  Bf16* compute;
  std::int64_t size;
  float grad_factor;  // clip factor
  float beta1;
  float beta2;
  float step_size;            // lr / (1 - beta1^n)
  float inverse_correction2;  // 1 / sqrt(1 - beta2^n)
  float eps;
  float decay_factor;  // 1 - lr * weight_decay
};

// *result = sum of x^2 in float64.
struct SumOfSquares {
  const float* x;
  std::int64_t size;
  double* result;
};

// Round to nearest even, and the exact way back.
struct ToBf16 {
  const float* from;
  Bf16* to;
  std::int64_t size;
};
struct ToFloat {
  const Bf16* from;
  float* to;
  std::int64_t size;
};

// c = a b (+ addend, where not null; it may be c) of bfloat16 matrices, computed in float32 and
// rounded to T once, at the end: what a processor without bfloat16 instructions does instead, as
// products of two bfloat16 numbers are exact in float32. An element's sum takes kProductDepth of
// them at a time, and both these and the partial sums in ascending order, whatever the sizes of c
// and the number of threads. `workspace` has product_workspace() floats; sizes are positive.
struct Bf16Matrix {
  const Bf16* at;
  std::int64_t row_stride;  // this one or the other is 1
  std::int64_t column_stride;
};
template <class T>
struct Product {
  Bf16Matrix a;  // [rows, depth]
  Bf16Matrix b;  // [depth, columns]
  const T* addend;
  T* c;                 // [rows, columns]
  std::int64_t stride;  // of a row of addend and of c
  std::int64_t rows;
  std::int64_t columns;
  std::int64_t depth;
  float* workspace;
};
inline constexpr std::int64_t kProductDepth = 256;
std::int64_t product_workspace();

// Blocks of `block` elements as int8 with one float32 scale each: scale = absmax / 127,
// q = round(x / scale). A block whose absmax is below kSmallestInt8Absmax becomes zero.
// *not_finite is the index of the first element that is infinite or NaN, or -1.
inline constexpr float kSmallestInt8Absmax = 1e-35f;
template <class T>
struct QuantiseInt8 {
  const T* from;
  float* scales;
  std::int8_t* to;
  std::int64_t size;
  std::int64_t block;
  std::int64_t* not_finite;
};
template <class T>
struct DequantiseInt8 {
  const float* scales;
  const std::int8_t* from;
  T* to;
  std::int64_t size;
  std::int64_t block;
};

// y[i] = exp(x[i]), within 1.2e-7 relative; below -87.3 exactly 0. Here for its test.
struct Exponential {
  const float* x;
  float* y;
  std::int64_t size;
};

// The threads that the kernels run on at most, which a workspace must have room for; all
// processors unless set. libtorch may bring an OpenMP of its own, with a count of its own.
int max_threads();
void set_threads(int threads);

// Executes a kernel on the given or on the best instruction set.
template <class Kernel>
void run_on(InstructionSet set, const Kernel& kernel);
template <class Kernel>
void run(const Kernel& kernel);

}  // namespace ptrain::stage::kernels
