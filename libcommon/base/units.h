// Strong integers for the quantities that a mix-up would silently confuse.
// Values: copied, compared, printed through value(). Durations are std::chrono's.

#pragma once

#include <compare>
#include <cstdint>
#include <functional>

namespace ptrain {

template <class Tag, class Rep>
class StrongInteger {
 public:
  constexpr StrongInteger() = default;
  constexpr explicit StrongInteger(Rep value) : value_(value) {}
  constexpr Rep value() const { return value_; }
  constexpr auto operator<=>(const StrongInteger&) const = default;
  constexpr StrongInteger& operator++() {
    ++value_;
    return *this;
  }
  constexpr StrongInteger next() const { return StrongInteger(static_cast<Rep>(value_ + 1)); }

 private:
  Rep value_ = 0;
};

using Step = StrongInteger<struct StepTag, std::uint64_t>;           // optimiser steps done
using StageIndex = StrongInteger<struct StageTag, std::uint32_t>;    // 0 holds the embedding
using LaneIndex = StrongInteger<struct LaneTag, std::uint32_t>;      // a share of the batch
using WorkerIndex = StrongInteger<struct WorkerTag, std::uint32_t>;  // a process of a job
using MicrobatchIndex = StrongInteger<struct MicrobatchTag, std::uint32_t>;  // within one step
using ByteCount = StrongInteger<struct ByteTag, std::uint64_t>;

}  // namespace ptrain

template <class Tag, class Rep>
struct std::hash<ptrain::StrongInteger<Tag, Rep>> {
  std::size_t operator()(const ptrain::StrongInteger<Tag, Rep>& v) const {
    return std::hash<Rep>{}(v.value());
  }
};
