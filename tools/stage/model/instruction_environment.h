// Variables with which a person chooses instructions for libtorch or OpenBLAS. Neither asks whether
// the processor has them: without a word the program would end by SIGILL, in its first product or
// in the middle of an evaluation.

#pragma once

#include <string>
#include <string_view>

namespace ptrain::stage {

// What the value asks of a processor, as __builtin_cpu_supports names it: avx, avx2, avx512f or
// avx512bf16; empty where it is what every processor has, or a word that the library does not know
// and so ignores.
std::string_view instructions_of(std::string_view variable, std::string_view value);

// Before libtorch computes anything. Throws Error(usage) with the variable's name, its value and
// the instructions that are missing.
void check_instruction_environment();

}  // namespace ptrain::stage
