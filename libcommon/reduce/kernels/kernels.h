// The loops over elements of sums and codecs, as plain C++ that the compiler vectorises.
//
// Each source is compiled for several instruction sets, and the best one of this processor is
// chosen at run time. All of them, and arm64, give the same bits: every operation on floats is one
// of IEEE 754's (+, -, *, /, comparison, conversion), element by element and rounded by itself, as
// the compiler may neither fuse a product and a sum (-ffp-contract=off) nor regroup anything (no
// -ffast-math); and what is taken over a block is a maximum of integers. It is left to the caller
// that its thread does not flush subnormal numbers to zero (base/subnormals.h): whoever is called
// from outside this folder sees to it.
//
// Encoded values lie at any address, so they are bytes here. No operand overlaps another one.

#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace ptrain::reduce {

enum class InstructionSet { baseline, avx2, avx512 };

// Those that this processor has, in ascending order.
std::span<const InstructionSet> instruction_sets();

inline constexpr std::size_t kIntegerBlock = 128;  // elements that share a scale

// Magnitudes, as integers in the order of the values: at or above these it is no finite number.
inline constexpr std::int32_t kInfinityFp32 = 0x7f800000;
inline constexpr std::int32_t kInfinityBf16 = 0x7f80;

struct NesterovFactors {
  float weight = 1;  // what the sum is divided by
  float momentum = 0;
  float lr = 0;
};

struct Kernels {
  // sum[i] = a[i] + b[i], float32.
  void (*sum)(const std::byte* a, const std::byte* b, std::byte* sum, std::size_t size);
  // to[i] += from[i].
  void (*add)(const std::byte* from, float* to, std::size_t size);
  // residual[i] = (residual[i] - sent[i]) * kept.
  void (*keep_lost)(const float* sent, float kept, float* residual, std::size_t size);
  std::int32_t (*largest_magnitude)(const std::byte* from, std::size_t size);

  // To nearest, ties to even; what would become infinite becomes the largest finite number.
  void (*to_bf16)(const float* from, std::byte* to, std::size_t size);
  void (*from_bf16)(const std::byte* from, float* to, std::size_t size);
  void (*add_bf16)(const std::byte* from, float* to, std::size_t size);
  std::int32_t (*largest_magnitude_bf16)(const std::byte* from, std::size_t size);

  // Blocks of kIntegerBlock elements, the last one maybe shorter, with one float32 scale each.
  // An encoder returns the first element of the first block that has one which is not finite, or
  // `size`; the output is worth nothing then.
  std::size_t (*to_int8)(const float* from, std::byte* scales, std::byte* to, std::size_t size);
  void (*from_int8)(const std::byte* scales, const std::byte* from, float* to, std::size_t size);
  void (*add_int8)(const std::byte* scales, const std::byte* from, float* to, std::size_t size);
  // Two elements a byte: element i of a block in the lower half of byte i, element i + n in the
  // upper half, where n is half of the block's elements, rounded up.
  std::size_t (*to_int4)(const float* from, std::byte* scales, std::byte* to, std::size_t size);
  void (*from_int4)(const std::byte* scales, const std::byte* from, float* to, std::size_t size);
  void (*add_int4)(const std::byte* scales, const std::byte* from, float* to, std::size_t size);

  // Of the outer optimiser (outer_step.h). to[i] = a[i] - b[i].
  void (*difference)(const float* a, const float* b, float* to, std::size_t size);
  void (*nesterov)(const NesterovFactors& factors, const float* sum, float* anchor, float* velocity,
                   std::size_t size);
  // to[i] = kept * to[i] + taken * from[i].
  void (*mix)(const float* from, float kept, float taken, float* to, std::size_t size);
};

// Precondition: it is one of instruction_sets().
const Kernels& kernels_for(InstructionSet set);
// The best one's.
const Kernels& kernels();

// A scale is the block's largest magnitude over 127, or 7; a block that has nothing above this
// becomes zero. A larger scale than these two, of which -128 or -8 times would be infinite, is
// never written.
inline constexpr float kSmallestEncoded = 1e-35F;
inline constexpr float kLargestInt8Scale = 0x1.fffffep120F;
inline constexpr float kLargestInt4Scale = 0x1.fffffep124F;

}  // namespace ptrain::reduce
