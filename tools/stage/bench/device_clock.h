// Seconds that a device has worked: a clock that waits for what it was told before it is read.

#pragma once

#include <chrono>

#include <ATen/ATen.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include "libcommon/base/units.h"

namespace ptrain::stage {

class DeviceClock {
 public:
  explicit DeviceClock(at::Device device) : device_(device) {}

  // Since this was last asked, or made.
  double lap_s() {
    if (!device_.is_cpu()) {
      c10::impl::VirtualGuardImpl(device_.type()).getStream(device_).synchronize();
    }
    const auto now = std::chrono::steady_clock::now();
    const double passed = std::chrono::duration<double>(now - last_).count();
    last_ = now;
    return passed;
  }

 private:
  at::Device device_;
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

}  // namespace ptrain::stage
