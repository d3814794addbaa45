// Seconds that a device has worked: a clock that waits for what it was told before it is read.

#pragma once

#include <chrono>

#include <ATen/ATen.h>

#include "tools/stage/cell/await_device.h"

namespace ptrain::stage {

class DeviceClock {
 public:
  explicit DeviceClock(at::Device device) : device_(device) {}

  // Since this was last asked, or made.
  double lap_s() {
    await_device(device_);
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
