#include "libcommon/reduce/edge_codec.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/base/subnormals.h"
#include "libcommon/reduce/integer_codec.h"
#include "libcommon/reduce/kernels/kernels.h"
#include "libcommon/reduce/plain_codec.h"
#include "libcommon/reduce/top_k_codec.h"

namespace ptrain::reduce {

std::optional<std::uint64_t> EdgeCodec::encode(std::span<const float> values,
                                               std::span<std::byte> out) const {
  const SubnormalMode mode(Subnormals::kept);
  return do_encode(values, out);
}

void EdgeCodec::decode(std::span<const std::byte> bytes, std::span<float> out) const {
  const SubnormalMode mode(Subnormals::kept);
  do_decode(bytes, out);
}

void EdgeCodec::decode_add(std::span<const std::byte> bytes, std::span<float> sum) const {
  const SubnormalMode mode(Subnormals::kept);
  do_decode_add(bytes, sum);
}

std::optional<std::string> EdgeCodec::flaw_of(std::span<const std::byte> bytes,
                                              std::uint64_t elements) const {
  const SubnormalMode mode(Subnormals::kept);
  const std::uint64_t expected = encoded_size(elements).value();
  if (bytes.size() == expected) return flaw_within(bytes, elements);
  return fmt::format("{} bytes; {} elements as {} are {}", bytes.size(), elements, name(),
                     expected);
}

const EdgeCodec& edge_codec(EdgeCodecKind kind) {
  static const Fp32Codec fp32;
  static const Bf16Codec bf16;
  static const IntegerCodec int8(IntegerCodec::Width::int8);
  static const IntegerCodec int4(IntegerCodec::Width::int4);
  static const TopKCodec top_k;
  switch (kind) {
    case EdgeCodecKind::fp32:
      return fp32;
    case EdgeCodecKind::bf16:
      return bf16;
    case EdgeCodecKind::int8:
      return int8;
    case EdgeCodecKind::int4:
      return int4;
    case EdgeCodecKind::top_k:
      return top_k;
  }
  throw Error(ErrorKind::internal,
              fmt::format("codec {} of an edge is none", static_cast<unsigned>(kind)));
}

std::optional<std::uint64_t> first_not_finite(std::span<const float> values) {
  if (kernels().largest_magnitude(std::as_bytes(values).data(), values.size()) < kInfinityFp32) {
    return std::nullopt;
  }
  const auto bad =
      std::find_if(values.begin(), values.end(), [](float x) { return !std::isfinite(x); });
  return static_cast<std::uint64_t>(bad - values.begin());
}

}  // namespace ptrain::reduce
