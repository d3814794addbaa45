// The kernels as compiled for each instruction set; for dispatch.cc and kernel sources only.

#pragma once

#include "tools/stage/kernels/kernels.h"

#define PTRAIN_DECLARE_KERNELS           \
  template <class T>                     \
  void run(const RmsNorm<T>&);           \
  template <class T>                     \
  void run(const RmsNormBackward<T>&);   \
  template <class T>                     \
  void run(const Rope<T>&);              \
  template <class T>                     \
  void run(const SwiGlu<T>&);            \
  template <class T>                     \
  void run(const SwiGluBackward<T>&);    \
  template <class T>                     \
  void run(const Attention<T>&);         \
  template <class T>                     \
  void run(const AttentionBackward<T>&); \
  template <class T>                     \
  void run(const CrossEntropy<T>&);      \
  template <class T>                     \
  void run(const Embedding<T>&);         \
  template <class T>                     \
  void run(const EmbeddingBackward<T>&); \
  template <class T>                     \
  void run(const QuantiseInt8<T>&);      \
  template <class T>                     \
  void run(const DequantiseInt8<T>&);    \
  template <class T>                     \
  void run(const Product<T>&);           \
  void run(const AdamWUpdate&);          \
  void run(const SumOfSquares&);         \
  void run(const ToBf16&);               \
  void run(const ToFloat&);              \
  void run(const Exponential&);

namespace ptrain::stage::kernels {
namespace baseline {
PTRAIN_DECLARE_KERNELS
}
#if defined(__x86_64__)
namespace avx2 {
PTRAIN_DECLARE_KERNELS
}
namespace avx512 {
PTRAIN_DECLARE_KERNELS
}
#endif
}  // namespace ptrain::stage::kernels

#undef PTRAIN_DECLARE_KERNELS
