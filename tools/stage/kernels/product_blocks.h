// The blocks in which product.cc works; for dispatch.cc and kernel sources only.
//
// Of all block sizes only kProductDepth (kernels.h) shows in a result's bits. These are chosen for
// the caches of home computers: a thread's block of A, 48 KiB in float32, for a second level of
// 256 KiB; the block of B, 1 MiB, for the last one.

#pragma once

#include <cstdint>

#include "tools/stage/kernels/kernels.h"

namespace ptrain::stage::kernels {

inline constexpr std::int64_t kProductRowBlock = 48;  // multiples of every tile of C
inline constexpr std::int64_t kProductColumns = 1024;
// Of so many rows at a time partial sums are kept, 8 MiB.
inline constexpr std::int64_t kProductRows = 42 * kProductRowBlock;

}  // namespace ptrain::stage::kernels
