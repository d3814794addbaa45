// What a frame costs its sender in credit. Pure.
//
// The charge per frame keeps a peer that sends a million empty messages as
// bounded as one that sends a large one.

#pragma once

#include <cstdint>

#include "libcommon/wire/frame.h"

namespace ptrain::net {

inline constexpr std::uint64_t kFrameCharge = 256;  // about what the books of one frame take
inline constexpr std::uint64_t kMaxFrameCost = wire::kMaxFrameBytes + kFrameCharge;
// With less a full frame could never be sent, and with exactly one, never a second in flight.
inline constexpr std::uint64_t kMinCreditWindow = 2 * kMaxFrameCost;

constexpr std::uint64_t frame_count(std::uint64_t payload_bytes) {
  return payload_bytes == 0 ? 1 : (payload_bytes - 1) / wire::kMaxFrameBytes + 1;
}
constexpr std::uint64_t frame_cost(std::uint64_t payload_bytes) {
  return payload_bytes + kFrameCharge;
}
constexpr std::uint64_t message_cost(std::uint64_t payload_bytes) {
  return payload_bytes + frame_count(payload_bytes) * kFrameCharge;
}

}  // namespace ptrain::net
