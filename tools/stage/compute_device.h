// Where and with how many threads a program computes: the options that run, eval and
// sample share.

#pragma once

#include <string>

#include <ATen/ATen.h>

namespace CLI {
class App;
}

namespace ptrain::stage {

inline constexpr int kMaxThreads = 1024;

struct ComputeOptions {
  std::string device = "cpu";  // or cuda:N; cuda is cuda:0
  int threads = 0;             // 0: as many as are of use and may run at once
};

void add_compute_options(CLI::App& sub, ComputeOptions& options);

struct Compute {
  at::Device device;
  std::string words;  // threads and memory, for people: os::describe
};

// Sets the threads of libtorch and OpenMP for this process, and that denormal numbers are zero in
// them and in the calling thread (model/denormals.h), which is to be the one that computes. Without
// --threads that is `useful_threads`, and at most what OMP_NUM_THREADS says, else what affinity and
// the container's quota permit. Throws Error(usage) for a device beyond those that are here,
// Error(unavailable) where there is none of the kind or it does not work. Warns of a slow BLAS on
// stderr.
Compute prepare_compute(const ComputeOptions& options, int useful_threads = kMaxThreads);

}  // namespace ptrain::stage
