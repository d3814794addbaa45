// The squares that the global gradient norm is made of. A stage reports one sum for each
// parameter; whoever adds them up does so in canonical parameter order, so the norm is the
// same bit for bit however the job is cut (design, section 3).

#pragma once

#include <vector>

#include "tools/stage/model/parameter.h"

namespace ptrain::stage {

// The sum of squares of each parameter's gradient, in float64 and in a fixed order of
// summation that no thread count changes.
std::vector<double> gradient_squares(const std::vector<Parameter>& parameters);

}  // namespace ptrain::stage
