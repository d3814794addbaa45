#include "tools/stage/model/instruction_environment.h"

#include <cstdlib>

#include <fmt/format.h>
#include <strings.h>

#include "libcommon/base/error.h"

namespace ptrain::stage {
namespace {

struct Choice {
  const char* variable;
  const char* value;
  const char* instructions;
};

// libtorch's capabilities, and OpenBLAS's x86-64 cores by what their kernels are compiled for (its
// Makefile.x86_64). OpenBLAS reads a name in any case.
constexpr Choice kChoices[] = {
    {"ATEN_CPU_CAPABILITY", "avx2", "avx2"},
    {"ATEN_CPU_CAPABILITY", "avx512", "avx512f"},
    {"OPENBLAS_CORETYPE", "Sandybridge", "avx"},
    {"OPENBLAS_CORETYPE", "Bulldozer", "avx"},
    {"OPENBLAS_CORETYPE", "Piledriver", "avx"},
    {"OPENBLAS_CORETYPE", "Steamroller", "avx"},
    {"OPENBLAS_CORETYPE", "Excavator", "avx2"},
    {"OPENBLAS_CORETYPE", "Haswell", "avx2"},
    {"OPENBLAS_CORETYPE", "Zen", "avx2"},
    {"OPENBLAS_CORETYPE", "SkylakeX", "avx512f"},
    {"OPENBLAS_CORETYPE", "Cooperlake", "avx512bf16"},
    {"OPENBLAS_CORETYPE", "SapphireRapids", "avx512bf16"},
};

#if defined(__x86_64__)
bool processor_has(std::string_view instructions) {
  if (instructions == "avx") return __builtin_cpu_supports("avx");
  if (instructions == "avx2") return __builtin_cpu_supports("avx2");
  if (instructions == "avx512f") return __builtin_cpu_supports("avx512f");
  if (instructions == "avx512bf16") return __builtin_cpu_supports("avx512bf16");
  return instructions.empty();
}
#else
bool processor_has(std::string_view instructions) { return instructions.empty(); }
#endif

}  // namespace

std::string_view instructions_of(std::string_view variable, std::string_view value) {
  for (const Choice& choice : kChoices) {
    if (variable == choice.variable && value.size() == std::string_view(choice.value).size() &&
        strncasecmp(value.data(), choice.value, value.size()) == 0) {
      return choice.instructions;
    }
  }
  return {};
}

void check_instruction_environment() {
  for (const char* variable : {"ATEN_CPU_CAPABILITY", "OPENBLAS_CORETYPE"}) {
    const char* value = std::getenv(variable);
    if (!value) continue;
    const std::string_view instructions = instructions_of(variable, value);
    if (processor_has(instructions)) continue;
    throw Error(ErrorKind::usage,
                fmt::format("{}={} in the environment: it needs a processor with {}, and this one "
                            "has no such instructions",
                            variable, value, instructions),
                fmt::format("unset {}: what is best here is then chosen", variable));
  }
}

}  // namespace ptrain::stage
