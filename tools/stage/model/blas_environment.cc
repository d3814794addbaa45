#include "tools/stage/model/blas_environment.h"

#include <cstdlib>
#include <cstring>

#include <dlfcn.h>
#include <unistd.h>

namespace ptrain::stage {
namespace {

constexpr const char* kCoreType = "OPENBLAS_CORETYPE";
constexpr const char* kGuard = "PTRAIN_BLAS_ENVIRONMENT_PREPARED";

bool has_avx512() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#else
  return false;
#endif
}

}  // namespace

void prepare_blas_environment(char** argv) {
  if (std::getenv(kCoreType) || std::getenv(kGuard) || !has_avx512()) return;
  setenv(kCoreType, "SkylakeX", 1);
  setenv(kGuard, "1", 1);
  execv("/proc/self/exe", argv);
  unsetenv(kGuard);
}

bool uses_reference_blas() {
  // OpenBLAS, MKL and BLIS tell their name by a symbol of their own; netlib has none.
  for (const char* symbol :
       {"openblas_get_config", "MKL_Get_Version", "bli_info_get_version_str"}) {
    if (dlsym(RTLD_DEFAULT, symbol)) return false;
  }
  return dlsym(RTLD_DEFAULT, "sgemm_") != nullptr;
}

}  // namespace ptrain::stage
