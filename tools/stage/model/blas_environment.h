// OpenBLAS chooses its kernels when it is loaded, before main. Releases that do not know
// the processor fall back to slower ones (facts: 124 against 240 GFLOP/s on a recent AMD
// core), which OPENBLAS_CORETYPE in the environment corrects.

#pragma once

namespace ptrain::stage {

// The first statement of main. Where the processor has AVX-512 and OPENBLAS_CORETYPE is
// unset, sets it and executes the program again, once; a guard variable in the environment
// prevents a second round. Returns where nothing is to be done or the execution fails: the
// program then runs correctly, only slower.
void prepare_blas_environment(char** argv);

// True if matrix products of libtorch run on the reference BLAS, some thirty times slower
// than OpenBLAS: worth a warning with the remedy in it.
bool uses_reference_blas();

}  // namespace ptrain::stage
