// What a tensor becomes on the wire between two stages: a filter with a name and an exact
// size. Stateless; any thread.
//
//   fp32  the bits of float32; lossless for both compute dtypes
//   bf16  round to nearest even; lossless for bfloat16 compute
//   int8  blocks of 128 elements, each with its float32 scale: absmax / 127
//
// encode takes a contiguous CPU tensor, float32 or bfloat16, of any shape; decode writes one.
// Failure: int8 refuses a tensor with an infinite or NaN element, since its block could not
// be told from a sound one afterwards: Error{corrupt} with the element's index. decode throws
// Error{corrupt} if the bytes do not fit the tensor or hold a scale that is not finite.

#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include <ATen/ATen.h>

#include "libcommon/base/units.h"
#include "libcommon/job/job.h"

namespace ptrain::stage {

class WireCodec {
 public:
  virtual ~WireCodec() = default;

  virtual std::string_view name() const = 0;
  virtual ByteCount encoded_size(std::int64_t elements) const = 0;

  // `out` has encoded_size(tensor.numel()) bytes.
  virtual void encode(const at::Tensor& tensor, std::span<std::byte> out) const = 0;
  virtual void decode(std::span<const std::byte> bytes, at::Tensor& tensor) const = 0;

  std::vector<std::byte> encoded(const at::Tensor& tensor) const;
  // Bytes that one token of a [b, t, d] residual stream costs.
  double bytes_per_token(std::int64_t hidden_size) const;
};

std::unique_ptr<WireCodec> make_wire_codec(job::WireCodec kind);

}  // namespace ptrain::stage
