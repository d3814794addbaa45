#include "libcommon/ckpt/tensor.h"

#include <array>

namespace ptrain::ckpt {
namespace {

struct DtypeEntry {
  Dtype dtype;
  std::string_view name;
  std::size_t bytes;
};

constexpr std::array kDtypes = {
    DtypeEntry{Dtype::boolean, "BOOL", 1},    DtypeEntry{Dtype::u8, "U8", 1},
    DtypeEntry{Dtype::i8, "I8", 1},           DtypeEntry{Dtype::f8_e5m2, "F8_E5M2", 1},
    DtypeEntry{Dtype::f8_e4m3, "F8_E4M3", 1}, DtypeEntry{Dtype::i16, "I16", 2},
    DtypeEntry{Dtype::u16, "U16", 2},         DtypeEntry{Dtype::f16, "F16", 2},
    DtypeEntry{Dtype::bf16, "BF16", 2},       DtypeEntry{Dtype::i32, "I32", 4},
    DtypeEntry{Dtype::u32, "U32", 4},         DtypeEntry{Dtype::f32, "F32", 4},
    DtypeEntry{Dtype::f64, "F64", 8},         DtypeEntry{Dtype::i64, "I64", 8},
    DtypeEntry{Dtype::u64, "U64", 8},
};

const DtypeEntry& entry(Dtype dtype) { return kDtypes[static_cast<std::size_t>(dtype)]; }

constexpr bool table_is_in_order() {
  for (std::size_t i = 0; i < kDtypes.size(); ++i) {
    if (static_cast<std::size_t>(kDtypes[i].dtype) != i) return false;
  }
  return true;
}
static_assert(table_is_in_order());

}  // namespace

std::size_t element_bytes(Dtype dtype) { return entry(dtype).bytes; }
std::string_view dtype_name(Dtype dtype) { return entry(dtype).name; }

std::optional<Dtype> dtype_from_name(std::string_view name) {
  for (const DtypeEntry& candidate : kDtypes) {
    if (candidate.name == name) return candidate.dtype;
  }
  return std::nullopt;
}

std::optional<std::uint64_t> byte_size(const TensorInfo& info) {
  std::uint64_t bytes = element_bytes(info.dtype);
  for (const std::int64_t dimension : info.shape) {
    if (dimension < 0) return std::nullopt;
    if (__builtin_mul_overflow(bytes, static_cast<std::uint64_t>(dimension), &bytes)) {
      return std::nullopt;
    }
  }
  return bytes;
}

}  // namespace ptrain::ckpt
