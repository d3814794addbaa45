// Products of bfloat16 matrices in float32, in the blocks of Goto and van de Geijn ("Anatomy of
// high-performance matrix multiplication", 2008). A fast product copies parts of both factors next
// to each other anyway; here they become float32 on the way, which so costs next to nothing.

#include <algorithm>
#include <cstring>
#include <type_traits>

#include <omp.h>

#include "tools/stage/kernels/kernels.h"
#include "tools/stage/kernels/product_blocks.h"
#include "tools/stage/kernels/vector.h"

namespace ptrain::stage::kernels::PTRAIN_ISA {
namespace {

// A tile of C is summed in registers: beside it they hold a row of B's tile and an element of A.
#if defined(__AVX512F__)
constexpr int kTileRows = 12;  // 24 sums in 32 registers
constexpr int kTileVectors = 2;
#elif defined(__AVX__)
constexpr int kTileRows = 6;  // 12 in 16
constexpr int kTileVectors = 2;
#elif defined(__aarch64__)
constexpr int kTileRows = 6;  // 24 in 32
constexpr int kTileVectors = 4;
#else
constexpr int kTileRows = 4;  // 8 in 16, and products on their way to the sums
constexpr int kTileVectors = 2;
#endif
using Vector = Register<float, kRegisterBytes>;
constexpr int kVectorFloats = sizeof(Vector) / sizeof(float);
constexpr int kTileColumns = kTileVectors * kVectorFloats;
static_assert(kProductRowBlock % kTileRows == 0 && kProductColumns % kTileColumns == 0);

constexpr std::int64_t kBlockFloats = kProductRowBlock * kProductDepth;  // of A's block
// Shared out among the threads, fewer blocks than this for each are cut by columns, too.
constexpr std::int64_t kBlocksPerThread = 4;

PTRAIN_INLINE float wide(Bf16 x) {
  const std::uint32_t bits = std::uint32_t{x.bits} << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

PTRAIN_INLINE void widen_row(const Bf16* from, std::int64_t count, float* to) {
  for_each_vector(count, [&](std::int64_t i, auto part) { part.put(to + i, part.get(from + i)); });
}

constexpr std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

PTRAIN_INLINE Bf16Matrix from(const Bf16Matrix& x, std::int64_t row, std::int64_t column) {
  return {x.at + row * x.row_stride + column * x.column_stride, x.row_stride, x.column_stride};
}

// Columns of B, to[depth][kTileColumns]; those past `columns` become 0.
PTRAIN_INLINE void pack_columns(const Bf16Matrix& b, std::int64_t depth, std::int64_t columns,
                                float* to) {
  if (columns < kTileColumns) std::fill_n(to, depth * kTileColumns, 0.0F);
  if (b.column_stride != 1) {
    for (std::int64_t j = 0; j < columns; ++j) {
      const Bf16* column = b.at + j * b.column_stride;
      for (std::int64_t k = 0; k < depth; ++k) to[k * kTileColumns + j] = wide(column[k]);
    }
  } else if (columns == kTileColumns) {
    for (std::int64_t k = 0; k < depth; ++k) {
      for (int j = 0; j < kTileColumns; ++j) {
        to[k * kTileColumns + j] = wide(b.at[k * b.row_stride + j]);
      }
    }
  } else {
    for (std::int64_t k = 0; k < depth; ++k) {
      for (std::int64_t j = 0; j < columns; ++j) {
        to[k * kTileColumns + j] = wide(b.at[k * b.row_stride + j]);
      }
    }
  }
}

// How a block of A is kept: in the order in which A lies.
struct ByRows {
  static constexpr std::int64_t kRow = kProductDepth;
  static constexpr std::int64_t kColumn = 1;
};
struct ByColumns {
  static constexpr std::int64_t kRow = 1;
  static constexpr std::int64_t kColumn = kProductRowBlock;
};

// Rows of A; those past `rows` become 0, up to a whole tile.
template <class Order>
PTRAIN_INLINE void pack_rows(const Bf16Matrix& a, std::int64_t rows, std::int64_t depth,
                             float* to) {
  const std::int64_t whole = divide_up(rows, kTileRows) * kTileRows;
  if constexpr (std::is_same_v<Order, ByRows>) {
    for (std::int64_t i = 0; i < rows; ++i) {
      widen_row(a.at + i * a.row_stride, depth, to + i * Order::kRow);
    }
    for (std::int64_t i = rows; i < whole; ++i) std::fill_n(to + i * Order::kRow, depth, 0.0F);
  } else {
    for (std::int64_t k = 0; k < depth; ++k) {
      float* column = to + k * Order::kColumn;
      widen_row(a.at + k * a.column_stride, rows, column);
      std::fill(column + rows, column + whole, 0.0F);
    }
  }
}

// tile = a b, [kTileRows, kTileColumns]
template <class Order>
PTRAIN_INLINE void multiply_tile(const float* a, const float* b, std::int64_t depth, float* tile) {
  Vector sums[kTileRows][kTileVectors] = {};
#pragma GCC unroll 4
  for (std::int64_t k = 0; k < depth; ++k) {
    Vector row[kTileVectors];
    for (int v = 0; v < kTileVectors; ++v) row[v] = load_bytes<Vector>(b + v * kVectorFloats);
    for (int i = 0; i < kTileRows; ++i) {
      const auto x = splat_as<Vector>(a[i * Order::kRow]);
      for (int v = 0; v < kTileVectors; ++v) sums[i][v] += x * row[v];
    }
    a += Order::kColumn;
    b += kTileColumns;
  }
  std::memcpy(tile, sums, sizeof sums);
}

// Rows of a matrix at a tile's place; `at` may be null, where nothing is added.
template <class T>
struct Rows {
  T* at;
  std::int64_t stride;
};

// to = tile + addend, and rounds where `to` is bfloat16.
template <class From, class To>
PTRAIN_INLINE void finish_tile(const float* tile, std::int64_t rows, std::int64_t columns,
                               Rows<From> addend, Rows<To> to) {
  for (std::int64_t i = 0; i < rows; ++i) {
    for_each_vector(columns, [&](std::int64_t j, auto part) {
      F32x16 sum = part.get(tile + i * kTileColumns + j);
      if (addend.at) sum += part.get(addend.at + i * addend.stride + j);
      part.put(to.at + i * to.stride + j, sum);
    });
  }
}

template <class T, class Order>
class Multiplication {
 public:
  explicit Multiplication(const Product<T>& k)
      : k_(k),
        packed_b_(k.workspace),
        sums_(packed_b_ + kProductColumns * kProductDepth),
        packed_a_(sums_ + kProductRows * kProductColumns) {}

  void run() const {
#pragma omp parallel
    for (std::int64_t i = 0; i < k_.rows; i += kProductRows) {
      for (std::int64_t j = 0; j < k_.columns; j += kProductColumns) {
        for (std::int64_t p = 0; p < k_.depth; p += kProductDepth) multiply({i, j, p});
      }
    }
  }

 private:
  // The first row and column of C's part at hand, and where in the sums we are.
  struct Place {
    std::int64_t row;
    std::int64_t column;
    std::int64_t depth;
  };

  // All threads together; which of them computes a tile shows in no bit.
  PTRAIN_INLINE void multiply(Place at) const {
    const std::int64_t rows = std::min(kProductRows, k_.rows - at.row);
    const std::int64_t columns = std::min(kProductColumns, k_.columns - at.column);
    const std::int64_t depth = std::min(kProductDepth, k_.depth - at.depth);
    const std::int64_t panels = divide_up(columns, kTileColumns);
#pragma omp for schedule(static)
    for (std::int64_t panel = 0; panel < panels; ++panel) {
      const std::int64_t first = panel * kTileColumns;
      pack_columns(from(k_.b, at.depth, at.column + first), depth,
                   std::min<std::int64_t>(kTileColumns, columns - first),
                   packed_b_ + first * kProductDepth);
    }
    const std::int64_t blocks = divide_up(rows, kProductRowBlock);
    const std::int64_t wanted = kBlocksPerThread * omp_get_num_threads();
    const std::int64_t groups = std::min(panels, divide_up(wanted, blocks));
    float* packed_a = packed_a_ + omp_get_thread_num() * kBlockFloats;
#pragma omp for schedule(dynamic)
    for (std::int64_t task = 0; task < blocks * groups; ++task) {
      const std::int64_t block = task / groups, group = task % groups;
      const std::int64_t first = block * kProductRowBlock;
      const std::int64_t count = std::min(kProductRowBlock, rows - first);
      pack_rows<Order>(from(k_.a, at.row + first, at.depth), count, depth, packed_a);
      const std::int64_t end = panels * (group + 1) / groups;
      for (std::int64_t panel = panels * group / groups; panel < end; ++panel) {
        const std::int64_t column = panel * kTileColumns;
        for (std::int64_t row = 0; row < count; row += kTileRows) {
          alignas(64) float tile[kTileRows * kTileColumns];
          multiply_tile<Order>(packed_a + row * Order::kRow, packed_b_ + column * kProductDepth,
                               depth, tile);
          finish({at.row + first + row, at.column + column, at.depth}, tile,
                 sums_ + (first + row) * kProductColumns + column);
        }
      }
    }
  }

  // The first partial sum takes the addend with it. Those before the last are kept in float32: in
  // C where it is float32, else in `sum`.
  PTRAIN_INLINE void finish(Place at, const float* tile, float* sum) const {
    const std::int64_t rows = std::min<std::int64_t>(kTileRows, k_.rows - at.row);
    const std::int64_t columns = std::min<std::int64_t>(kTileColumns, k_.columns - at.column);
    const std::int64_t place = at.row * k_.stride + at.column;
    const Rows<T> c{k_.c + place, k_.stride};
    const Rows<const T> addend{k_.addend ? k_.addend + place : nullptr, k_.stride};
    const bool first = at.depth == 0;
    if constexpr (std::is_same_v<T, float>) {
      finish_tile(tile, rows, columns, first ? addend : Rows<const float>{c.at, c.stride}, c);
    } else {
      const bool last = at.depth + kProductDepth >= k_.depth;
      const Rows<float> partial{sum, kProductColumns};
      if (first && last) return finish_tile(tile, rows, columns, addend, c);
      if (first) return finish_tile(tile, rows, columns, addend, partial);
      if (last) return finish_tile(tile, rows, columns, partial, c);
      finish_tile(tile, rows, columns, partial, partial);
    }
  }

  const Product<T>& k_;
  float* packed_b_;  // [panels, kProductDepth, kTileColumns]
  float* sums_;      // [kProductRows, kProductColumns]
  float* packed_a_;  // [threads, kBlockFloats]
};

}  // namespace

template <class T>
void run(const Product<T>& k) {
  if (k.a.column_stride == 1) {
    Multiplication<T, ByRows>(k).run();
  } else {
    Multiplication<T, ByColumns>(k).run();
  }
}

template void run(const Product<float>&);
template void run(const Product<Bf16>&);

}  // namespace ptrain::stage::kernels::PTRAIN_ISA
