// In which field two descriptions of a run differ, for people.

#pragma once

#include <optional>
#include <string>

#include "libcommon/ckpt/record.h"

namespace ptrain::ckpt {

struct FieldDifference {
  std::string field;  // "cursor", "model.hidden_size", "job.optim.lr"
  std::string left;   // the values, as JSON; "nothing" where there is none
  std::string right;
};

// The first field in alphabetical order; empty when the two are equal.
std::optional<FieldDifference> first_difference(const RunState& left, const RunState& right);

}  // namespace ptrain::ckpt
