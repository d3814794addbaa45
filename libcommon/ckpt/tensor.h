// A tensor without arithmetic: its name, the type of its elements, its shape and
// its bytes (row-major, little-endian). Values; checkpoints need no more than this.

#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ptrain::ckpt {

// The element types that safetensors names.
enum class Dtype {
  boolean,
  u8,
  i8,
  f8_e5m2,
  f8_e4m3,
  i16,
  u16,
  f16,
  bf16,
  i32,
  u32,
  f32,
  f64,
  i64,
  u64
};

std::size_t element_bytes(Dtype dtype);
std::string_view dtype_name(Dtype dtype);  // as in a file: "F32"
std::optional<Dtype> dtype_from_name(std::string_view name);

struct TensorInfo {
  std::string name;
  Dtype dtype = Dtype::f32;
  std::vector<std::int64_t> shape;  // empty: a scalar

  bool operator==(const TensorInfo&) const = default;
};

// Size of the tensor's data; empty where a dimension is negative or the product
// does not fit in 64 bits.
std::optional<std::uint64_t> byte_size(const TensorInfo& info);

// A tensor whose bytes belong to someone else, who keeps them unchanged while the view lives.
struct TensorView {
  TensorInfo info;
  std::span<const std::byte> bytes;
};

// Takes the bytes of a tensor, or of a file, in order and in pieces of any size.
using ByteSink = std::function<void(std::span<const std::byte>)>;

}  // namespace ptrain::ckpt
