#include "tools/stage/codec/wire_codec.h"

#include <cmath>
#include <cstring>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "tools/stage/kernels/kernels.h"

namespace ptrain::stage {
namespace {

using kernels::Bf16;

template <class T>
T* data(const at::Tensor& x) {
  return static_cast<T*>(x.data_ptr());
}

void require_size(std::string_view codec, std::uint64_t bytes, ByteCount expected,
                  std::int64_t elements) {
  if (bytes == expected.value()) return;
  throw Error(ErrorKind::corrupt, fmt::format("{} payload of {} bytes; {} elements need {}", codec,
                                              bytes, elements, expected.value()));
}

// The plain formats: elements of one dtype, one after another.
class PlainCodec final : public WireCodec {
 public:
  PlainCodec(std::string_view name, at::ScalarType type)
      : name_(name), type_(type), width_(at::elementSize(type)) {}

  std::string_view name() const override { return name_; }
  ByteCount encoded_size(std::int64_t elements) const override {
    return ByteCount(static_cast<std::uint64_t>(elements) * width_);
  }

  void encode(const at::Tensor& tensor, std::span<std::byte> out) const override {
    copy(tensor.data_ptr(), tensor.scalar_type(), out.data(), type_, tensor.numel());
  }
  void decode(std::span<const std::byte> bytes, at::Tensor& tensor) const override {
    require_size(name_, bytes.size(), encoded_size(tensor.numel()), tensor.numel());
    copy(bytes.data(), type_, tensor.data_ptr(), tensor.scalar_type(), tensor.numel());
  }

 private:
  void copy(const void* from, at::ScalarType from_type, void* to, at::ScalarType to_type,
            std::int64_t size) const {
    if (from_type == to_type) {
      std::memcpy(to, from, static_cast<std::size_t>(size) * at::elementSize(to_type));
    } else if (to_type == at::kBFloat16) {
      kernels::run(kernels::ToBf16{static_cast<const float*>(from), static_cast<Bf16*>(to), size});
    } else {
      kernels::run(kernels::ToFloat{static_cast<const Bf16*>(from), static_cast<float*>(to), size});
    }
  }

  std::string_view name_;
  at::ScalarType type_;
  std::size_t width_;
};

// All scales, then all elements.
class Int8Codec final : public WireCodec {
 public:
  static constexpr std::int64_t kBlock = 128;  // 4 / 128 bytes of scale an element

  std::string_view name() const override { return "int8"; }
  ByteCount encoded_size(std::int64_t elements) const override {
    return ByteCount(static_cast<std::uint64_t>(scale_bytes(elements) + elements));
  }

  void encode(const at::Tensor& tensor, std::span<std::byte> out) const override {
    const std::int64_t bad = tensor.scalar_type() == at::kFloat ? quantise<float>(tensor, out)
                                                                : quantise<Bf16>(tensor, out);
    if (bad < 0) return;
    throw Error(ErrorKind::corrupt,
                fmt::format("int8 cannot carry element {} of {}: {}", bad, tensor.numel(),
                            tensor.view(-1)[bad].item<float>()),
                "the run has diverged: lower optim.lr, or clip with optim.clip_norm");
  }

  void decode(std::span<const std::byte> bytes, at::Tensor& tensor) const override {
    const std::int64_t size = tensor.numel();
    require_size(name(), bytes.size(), encoded_size(size), size);
    const std::vector<float> scales = checked_scales(bytes, size);
    const auto* from = reinterpret_cast<const std::int8_t*>(bytes.data() + scale_bytes(size));
    if (tensor.scalar_type() == at::kFloat) {
      kernels::run(
          kernels::DequantiseInt8<float>{scales.data(), from, data<float>(tensor), size, kBlock});
    } else {
      kernels::run(
          kernels::DequantiseInt8<Bf16>{scales.data(), from, data<Bf16>(tensor), size, kBlock});
    }
  }

 private:
  static std::int64_t blocks(std::int64_t elements) { return (elements + kBlock - 1) / kBlock; }
  static std::int64_t scale_bytes(std::int64_t elements) {
    return blocks(elements) * static_cast<std::int64_t>(sizeof(float));
  }

  // The wire's bytes need not be aligned, so scales pass through a vector.
  template <class T>
  static std::int64_t quantise(const at::Tensor& tensor, std::span<std::byte> out) {
    const std::int64_t size = tensor.numel();
    std::vector<float> scales(static_cast<std::size_t>(blocks(size)));
    std::int64_t not_finite = -1;
    kernels::run(kernels::QuantiseInt8<T>{
        .from = data<T>(tensor),
        .scales = scales.data(),
        .to = reinterpret_cast<std::int8_t*>(out.data() + scale_bytes(size)),
        .size = size,
        .block = kBlock,
        .not_finite = &not_finite});
    std::memcpy(out.data(), scales.data(), scales.size() * sizeof(float));
    return not_finite;
  }

  static std::vector<float> checked_scales(std::span<const std::byte> bytes, std::int64_t size) {
    std::vector<float> scales(static_cast<std::size_t>(blocks(size)));
    std::memcpy(scales.data(), bytes.data(), scales.size() * sizeof(float));
    for (std::size_t i = 0; i < scales.size(); ++i) {
      if (std::isfinite(scales[i]) && scales[i] >= 0.0F) continue;
      throw Error(
          ErrorKind::corrupt,
          fmt::format("int8 payload: scale {} of block {}; finite and not negative expected",
                      scales[i], i));
    }
    return scales;
  }
};

}  // namespace

std::vector<std::byte> WireCodec::encoded(const at::Tensor& tensor) const {
  std::vector<std::byte> bytes(encoded_size(tensor.numel()).value());
  encode(tensor, bytes);
  return bytes;
}

double WireCodec::bytes_per_token(std::int64_t hidden_size) const {
  // Over many tokens, so that a last incomplete block does not count.
  constexpr std::int64_t kTokens = 4096;
  return static_cast<double>(encoded_size(kTokens * hidden_size).value()) / kTokens;
}

std::unique_ptr<WireCodec> make_wire_codec(job::WireCodec kind) {
  switch (kind) {
    case job::WireCodec::exact:  // of whatever precision
    case job::WireCodec::fp32:
      return std::make_unique<PlainCodec>("fp32", at::kFloat);
    case job::WireCodec::bf16:
      return std::make_unique<PlainCodec>("bf16", at::kBFloat16);
    case job::WireCodec::int8:
      return std::make_unique<Int8Codec>();
  }
  throw Error(ErrorKind::internal, "unknown wire codec");
}

}  // namespace ptrain::stage
