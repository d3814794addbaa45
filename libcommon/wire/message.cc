#include "libcommon/wire/message.h"

#include <array>

#include <fmt/format.h>

namespace ptrain::wire {
namespace {

struct KindTraits {
  std::string_view name;
  Urgency urgency;
};

constexpr std::array<KindTraits, kMessageKinds> kKinds{{
    {"activation", Urgency::pipeline},         {"gradient", Urgency::pipeline},
    {"tied gradient", Urgency::pipeline},      {"eval activation", Urgency::pipeline},
    {"step report", Urgency::control},         {"step verdict", Urgency::control},
    {"eval report", Urgency::control},         {"checkpoint record", Urgency::control},
    {"checkpoint manifest", Urgency::control}, {"resume offer", Urgency::control},
    {"resume choice", Urgency::control},       {"retired", Urgency::control},
    {"transfer request", Urgency::control},    {"transfer answer", Urgency::control},
    {"transfer bytes", Urgency::pipeline},     {"probe order", Urgency::control},
    {"probe report", Urgency::control},        {"probe bytes", Urgency::pipeline},
    {"sum over lanes", Urgency::reduce},       {"stage state", Urgency::pipeline},
    {"part of a sum", Urgency::reduce},        {"bytes of a part", Urgency::reduce},
}};

constexpr std::array<std::size_t, kDTypes> kElementBytes{1, 4, 8, 2, 2, 8, 4, 2, 1, 1};

}  // namespace

Urgency urgency_of(MessageKind kind) { return kKinds.at(static_cast<std::size_t>(kind)).urgency; }

std::string_view name_of(MessageKind kind) {
  return kKinds.at(static_cast<std::size_t>(kind)).name;
}

std::string_view name_of(Urgency urgency) {
  switch (urgency) {
    case Urgency::control:
      return "control";
    case Urgency::pipeline:
      return "pipeline";
    case Urgency::reduce:
      return "reduce";
  }
  return "?";
}

std::string to_string(const MessageName& name) {
  std::string text = fmt::format("{} of step {}, microbatch {}, from stage {}", name_of(name.kind),
                                 name.step.value(), name.microbatch.value(), name.source.value());
  if (name.lane != LaneIndex(0)) text += fmt::format(", lane {}", name.lane.value());
  if (name.part != 0) text += fmt::format(", part {:#x}", name.part);
  return text;
}

std::size_t size_of(DType dtype) { return kElementBytes.at(static_cast<std::size_t>(dtype)); }

std::optional<std::string> flaw_of(const TensorInfo& tensor, std::uint64_t payload_bytes) {
  if (tensor.shape.size() > kMaxRank) {
    return fmt::format("tensor of rank {}, at most {} allowed", tensor.shape.size(), kMaxRank);
  }
  if (tensor.codec.size() > kMaxCodecNameBytes) {
    return fmt::format("codec name of {} bytes, at most {} allowed", tensor.codec.size(),
                       kMaxCodecNameBytes);
  }
  std::uint64_t bytes = size_of(tensor.dtype);
  for (const std::int64_t extent : tensor.shape) {
    if (extent < 0) return fmt::format("tensor extent {} is negative", extent);
    if (__builtin_mul_overflow(bytes, static_cast<std::uint64_t>(extent), &bytes)) {
      return std::string("the size of the tensor overflows 64 bits");
    }
  }
  const bool opaque = tensor.dtype == DType::bytes && tensor.shape.empty();
  if (tensor.codec.empty() && !opaque && bytes != payload_bytes) {
    return fmt::format("tensor of {} bytes with a payload of {} bytes", bytes, payload_bytes);
  }
  return std::nullopt;
}

}  // namespace ptrain::wire
