// The CUDA devices that libtorch sees on this host, or why it sees none; and one of them made ready
// to compute the same bits whatever stage it holds.
//
// ptrain has no CUDA source and includes none of the toolkit's headers: all is asked of libtorch,
// whose releases for the CPU answer too.

#pragma once

#include <string>

#include <c10/core/Device.h>

#include "libcommon/base/error.h"

namespace ptrain::stage {

struct CudaDevices {
  int count = 0;
  std::string why_none;  // "there is no driver here"; empty where there are some
};

// Asked once: what libtorch finds first stays for the process. Any thread.
const CudaDevices& cuda_devices();

// Before anything else computes on `device`. From then on libtorch takes deterministic algorithms
// only, rounds float32 nowhere to TF32, adds bfloat16 products in float32, and gives cuBLAS one
// workspace of fixed size, in which its algorithm follows from the shapes alone: so a layer has the
// same bits in any stage on the same kind of GPU. Sets CUBLAS_WORKSPACE_CONFIG, whatever it was.
//
// A first product shows whether the GPU works, before another stage waits for this one. Throws
// cuda_failure() where it does not.
void prepare_cuda(c10::Device device);

// What libtorch says of a device that it cannot use, as an Error that names it: unavailable,
// try_again where it is busy or full.
Error cuda_failure(const std::string& device, const std::string& text);

}  // namespace ptrain::stage
