#include "tools/stage/cuda_devices.h"

#include <cstdlib>

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/util/Exception.h>
#include <dlfcn.h>
#include <fmt/format.h>
#include <torch/version.h>

#include "tools/stage/allocation_failure.h"

namespace ptrain::stage {
namespace {

constexpr const char* kElsewhere = "--device cpu works everywhere";
// Eight buffers of 4 MiB: of the two that libtorch takes for deterministic the faster one.
constexpr const char* kCublasWorkspace = ":4096:8";

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

bool contains(const std::string& text, const char* part) {
  return text.find(part) != std::string::npos;
}

#if TORCH_VERSION_MAJOR >= 2
// A driver that libtorch cannot use is no error to it: it warns and counts no device.
class KeptWarning final : public c10::WarningHandler {
 public:
  void process(const c10::Warning& warning) override { text_ = first_line(warning.msg()); }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

CudaDevices count_devices() {
  KeptWarning warning;
  const c10::WarningUtils::WarningHandlerGuard guard(&warning);
  const auto count = static_cast<int>(at::hasCUDA() ? at::getNumGPUs() : 0);
  return {count, warning.text()};
}
#else
// Debian's, which computes on the CPU.
CudaDevices count_devices() { return {}; }
#endif

std::string why_none(const CudaDevices& found) {
  if (!found.why_none.empty()) return found.why_none;
  if (!contains(at::show_config(), "USE_CUDA=ON")) return "this libtorch has none";
  void* driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
  if (driver == nullptr) return "there is no driver here";
  dlclose(driver);
  return "the driver shows no device (CUDA_VISIBLE_DEVICES may hide them)";
}

CudaDevices find_devices() {
  CudaDevices found = count_devices();
  found.why_none = found.count > 0 ? "" : why_none(found);
  return found;
}

void make_deterministic() {
  setenv("CUBLAS_WORKSPACE_CONFIG", kCublasWorkspace, 1);
  at::Context& context = at::globalContext();
  context.setDeterministicAlgorithms(true, /*warn_only=*/false);
  context.setAllowTF32CuBLAS(false);
#if TORCH_VERSION_MAJOR >= 2
  context.setAllowBF16ReductionCuBLAS(false);
  // What is not written yet is read by nobody here.
  context.setDeterministicFillUninitializedMemory(false);
#endif
}

}  // namespace

const CudaDevices& cuda_devices() {
  static const CudaDevices devices = find_devices();
  return devices;
}

void prepare_cuda(c10::Device device) {
  make_deterministic();
  try {
    // Else libtorch would make a context on the first device, too, for the likes of a wait.
    c10::impl::VirtualGuardImpl(device.type()).setDevice(device);
    const at::Tensor ones = at::ones({16, 16}, at::TensorOptions().device(device));
    const auto sum = at::mm(ones, ones).sum().item<float>();
    if (sum != 16 * 16 * 16) {
      throw Error(
          ErrorKind::unavailable,
          fmt::format("--device {}: this GPU computes 16 x 16 x 16 = {}", device.str(), sum),
          kElsewhere);
    }
  } catch (const c10::Error& error) {
    throw cuda_failure(device.str(), error.what_without_backtrace());
  }
}

Error cuda_failure(const std::string& device, const std::string& text) {
  if (const auto memory = allocation_failure_in(text)) return *memory;
  const std::string what = fmt::format("--device {}: ", device);
  if (contains(text, "no kernel image") || contains(text, "ARCH_MISMATCH")) {
    return {ErrorKind::unavailable, what + "this libtorch has no kernels for that GPU",
            "build with a PyTorch that supports it, an older one for an older GPU "
            "(recipes/build.sh --torch PYTHON); --device cpu works everywhere"};
  }
  const bool busy = contains(text, "busy or unavailable");
  return {busy ? ErrorKind::try_again : ErrorKind::unavailable, what + first_line(text),
          busy ? "another program may hold it for itself alone" : kElsewhere};
}

}  // namespace ptrain::stage
