#include "tools/stage/computes_with.h"

#include <regex>
#include <string_view>

#include <ATen/Context.h>
#include <ATen/Version.h>
#include <dlfcn.h>
#include <fmt/format.h>
#include <torch/version.h>

#include "libcommon/os/share_of_machine.h"
#include "tools/stage/cuda_devices.h"
#include "tools/stage/kernels/kernels.h"
#include "tools/stage/model/blas_environment.h"

namespace ptrain::stage {
namespace {

// "0.3.21" of whatever a library says of itself.
std::string release_in(const std::string& text) {
  static const std::regex kRelease("[0-9]+(\\.[0-9]+)+");
  std::smatch match;
  return std::regex_search(text, match, kRelease) ? match.str() : "";
}

// What a function of a loaded library returns; empty where there is none of that name.
std::string ask(const char* function) {
  using Function = const char* (*)();
  const auto found = reinterpret_cast<Function>(dlsym(RTLD_DEFAULT, function));
  const char* text = found == nullptr ? nullptr : found();
  return text == nullptr ? "" : text;
}

std::string blas() {
  if (at::hasMKL()) return "MKL " + release_in(at::get_mkl_version());
  if (const std::string config = ask("openblas_get_config"); !config.empty()) {
    return fmt::format("OpenBLAS {}, kernels for {}", release_in(config),
                       ask("openblas_get_corename"));
  }
  if (const std::string blis = ask("bli_info_get_version_str"); !blis.empty()) {
    return "BLIS " + release_in(blis);
  }
  return uses_reference_blas() ? "the reference BLAS, which is slow" : "libtorch's own";
}

std::string_view name_of(kernels::InstructionSet set) {
  switch (set) {
    case kernels::InstructionSet::baseline:
      return "baseline instructions";
    case kernels::InstructionSet::avx2:
      return "AVX2";
    case kernels::InstructionSet::avx512:
      return "AVX-512";
  }
  return "";
}

std::string cuda() {
  const CudaDevices& found = cuda_devices();
  return found.count == 0   ? "no cuda: " + found.why_none
         : found.count == 1 ? "cuda:0"
                            : fmt::format("cuda:0 to cuda:{}", found.count - 1);
}

}  // namespace

std::string computes_with() {
  std::string text = fmt::format("libtorch {}\nBLAS {}\n", TORCH_VERSION, blas());
  if (at::hasMKLDNN()) text += fmt::format("oneDNN {}\n", release_in(at::get_mkldnn_version()));
  return text + fmt::format("devices cpu ({} threads, {}), {}",
                            os::read_share_of_machine().threads(),
                            name_of(kernels::instruction_sets().back()), cuda());
}

}  // namespace ptrain::stage
