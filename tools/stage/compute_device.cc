#include "tools/stage/compute_device.h"

#include <cstdlib>
#include <regex>

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/base/log.h"
#include "libcommon/cli/number_range.h"
#include "libcommon/os/share_of_machine.h"
#include "tools/stage/cuda_devices.h"
#include "tools/stage/kernels/kernels.h"
#include "tools/stage/model/blas_environment.h"
#include "tools/stage/model/denormals.h"

namespace ptrain::stage {

namespace {

at::Device parse_device(const std::string& text) {
  static const std::regex kPattern("cpu|cuda(?::([0-9]{1,3}))?");
  std::smatch match;
  if (!std::regex_match(text, match, kPattern)) {
    throw Error(ErrorKind::usage, fmt::format("--device {}: must be cpu or cuda:N", text));
  }
  if (text == "cpu") return at::kCPU;
  const int index = match[1].matched ? std::stoi(match[1]) : 0;
  const CudaDevices& found = cuda_devices();
  if (found.count == 0) {
    throw Error(ErrorKind::unavailable,
                fmt::format("--device {}: no CUDA device: {}", text, found.why_none),
                "--device cpu works everywhere; ptrain-stage(1), ANOTHER LIBTORCH, says what a "
                "GPU needs");
  }
  if (index >= found.count) {
    throw Error(ErrorKind::usage, fmt::format("--device {}: the last of the {} here is cuda:{}",
                                              text, found.count, found.count - 1));
  }
  return at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(index));
}

struct ThreadChoice {
  int threads;
  os::ThreadsBy by;
};

// libgomp has read OMP_NUM_THREADS; where nobody set it, it counts the processors of the affinity
// and knows no quota.
ThreadChoice choose_threads(const ComputeOptions& options, const os::ShareOfMachine& share,
                            int useful) {
  if (options.threads > 0) return {options.threads, os::ThreadsBy::request};
  const bool told = std::getenv("OMP_NUM_THREADS") != nullptr;
  const int most = told ? kernels::max_threads() : share.threads();
  if (useful < most) return {useful, os::ThreadsBy::size_of_work};
  return {most, told ? os::ThreadsBy::request : os::ThreadsBy::machine};
}

}  // namespace

void add_compute_options(CLI::App& sub, ComputeOptions& options) {
  sub.add_option("--device", options.device, "cpu or cuda:N")->capture_default_str();
  sub.add_option("--threads", options.threads,
                 "Threads to compute with (default: as many as are of use and may run at once)")
      ->check(cli::whole_range(1, kMaxThreads));
}

Compute prepare_compute(const ComputeOptions& options, int useful_threads) {
  const at::Device device = parse_device(options.device);
  const os::ShareOfMachine share = os::read_share_of_machine();
  const auto [threads, by] = choose_threads(options, share, useful_threads);
  at::set_num_threads(threads);
  kernels::set_threads(threads);
  flush_denormals();
  if (device.is_cuda()) prepare_cuda(device);
  if (device.is_cpu() && !at::hasMKL() && uses_reference_blas()) {
    StderrLog("ptrain-stage")
        .warning(
            "libtorch runs on the reference BLAS, which is some thirty times slower than "
            "OpenBLAS: install libopenblas0-openmp");
  }
  return {device, os::describe(share, threads, by)};
}

}  // namespace ptrain::stage
