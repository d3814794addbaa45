// The devices that a test of arithmetic runs on: the CPU everywhere, and the first CUDA device
// where there is one, so that a host without one has fewer tests and skips none.

#pragma once

#include <string>
#include <vector>

#include <ATen/ATen.h>

#include "tools/stage/cuda_devices.h"

namespace ptrain::stage {

inline std::vector<at::Device> compute_devices() {
  std::vector<at::Device> devices{at::kCPU};
  if (cuda_devices().count > 0) {
    devices.emplace_back(at::kCUDA, 0);
    prepare_cuda(devices.back());
  }
  return devices;
}

// For the names of tests.
inline std::string device_name(at::Device device) { return device.is_cpu() ? "Cpu" : "Cuda"; }

}  // namespace ptrain::stage
