// Where and with how many threads a program computes: the options that run, eval and
// sample share.

#pragma once

#include <string>

#include <ATen/ATen.h>

namespace CLI {
class App;
}

namespace ptrain::stage {

struct ComputeOptions {
  std::string device = "cpu";  // or cuda:N
  int threads = 0;             // 0: as many as there are processors
};

void add_compute_options(CLI::App& sub, ComputeOptions& options);

// Sets the threads of libtorch and OpenMP for this process and returns the device. Throws
// Error(usage) for a device that is not here. Warns of a slow BLAS on stderr.
at::Device prepare_compute(const ComputeOptions& options);

}  // namespace ptrain::stage
