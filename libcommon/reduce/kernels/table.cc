// All kernels of one instruction set.

#include "libcommon/reduce/kernels/instruction_set.h"

namespace ptrain::reduce::PTRAIN_ISA {

extern const Kernels kTable;
const Kernels kTable{
    .sum = sum,
    .add = add,
    .keep_lost = keep_lost,
    .largest_magnitude = largest_magnitude,
    .to_bf16 = to_bf16,
    .from_bf16 = from_bf16,
    .add_bf16 = add_bf16,
    .largest_magnitude_bf16 = largest_magnitude_bf16,
    .to_int8 = to_int8,
    .from_int8 = from_int8,
    .add_int8 = add_int8,
    .to_int4 = to_int4,
    .from_int4 = from_int4,
    .add_int4 = add_int4,
    .difference = difference,
    .nesterov = nesterov,
    .mix = mix,
};

}  // namespace ptrain::reduce::PTRAIN_ISA
