// Denormal numbers: those nearer to zero than the smallest normal one, 1.2e-38 in float32. Moments
// of parameters whose gradient is gone fade through them, and some processors take a hundred times
// as long for an operation that meets one. Here they count as zero, as they do in a processor's own
// instructions for bfloat16 whatever is set, in operands (x86: DAZ) and in results (FTZ; arm64: FZ
// for both).
//
// The mode belongs to a thread and changes bits, so it has to be the same in every thread that
// computes. A thread begins with that of the one that starts it.

#pragma once

namespace ptrain::stage {

// From now on in the calling thread, in those of its OpenMP teams, libtorch's included, and in all
// that these threads start: a process says it once, after its number of threads is set. On other
// processors than x86-64 and arm64 it does nothing.
void flush_denormals();

}  // namespace ptrain::stage
