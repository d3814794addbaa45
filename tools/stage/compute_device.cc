#include "tools/stage/compute_device.h"

#include <regex>

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/base/log.h"
#include "tools/stage/kernels/kernels.h"
#include "tools/stage/model/blas_environment.h"

namespace ptrain::stage {

namespace {

constexpr int kMaxThreads = 1024;

at::Device parse_device(const std::string& text) {
  static const std::regex kPattern("cpu|cuda:([0-9]{1,3})");
  std::smatch match;
  if (!std::regex_match(text, match, kPattern)) {
    throw Error(ErrorKind::usage, fmt::format("--device {}: must be cpu or cuda:N", text));
  }
  if (text == "cpu") return at::kCPU;
  const int index = std::stoi(match[1]);
  const auto count = static_cast<int>(at::hasCUDA() ? at::getNumGPUs() : 0);
  if (index >= count) {
    throw Error(ErrorKind::usage,
                fmt::format("--device {}: this libtorch sees {} CUDA devices", text, count),
                "--device cpu works everywhere");
  }
  return at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(index));
}

}  // namespace

void add_compute_options(CLI::App& sub, ComputeOptions& options) {
  sub.add_option("--device", options.device, "cpu or cuda:N")->capture_default_str();
  sub.add_option("--threads", options.threads, "Threads to compute with (default: processors)")
      ->check(CLI::Range(1, kMaxThreads));
}

at::Device prepare_compute(const ComputeOptions& options) {
  const at::Device device = parse_device(options.device);
  if (options.threads > 0) {
    at::set_num_threads(options.threads);
    kernels::set_threads(options.threads);
  }
  if (device.is_cpu() && !at::hasMKL() && uses_reference_blas()) {
    StderrLog("ptrain-stage")
        .warning(
            "libtorch runs on the reference BLAS, which is some thirty times slower than "
            "OpenBLAS: install libopenblas0-openmp");
  }
  return device;
}

}  // namespace ptrain::stage
