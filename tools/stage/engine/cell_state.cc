#include "tools/stage/engine/cell_state.h"

#include <algorithm>

#include "libcommon/wire/checksum.h"

namespace ptrain::stage {

std::uint64_t CellState::state_digest() {
  const StateTensors tensors = state();
  std::vector<std::uint64_t> digests;
  for (const auto* part : {&tensors.model, &tensors.optim}) {
    for (const ckpt::TensorView& tensor : *part) digests.push_back(wire::checksum(tensor.bytes));
  }
  return std::max<std::uint64_t>(1, wire::checksum(std::as_bytes(std::span(digests))));
}

}  // namespace ptrain::stage
