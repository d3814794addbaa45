// A stage's state on its way from the worker that has loaded it to those that hold the stage as
// well, in other lanes: tensor by tensor in the order of CellState::state(), which both sides know,
// in slices that a session sends in a moment. Nothing here blocks.

#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tools/stage/engine/cell_state.h"
#include "tools/stage/engine/inbox.h"
#include "tools/stage/engine/post.h"

namespace ptrain::stage {

inline constexpr std::uint64_t kStateSliceBytes = 16 << 20;

// Borrows the post. The state must not change until it is done.
class StateHandOut {
 public:
  // To the workers that hold our stage, without us.
  StateHandOut(Post& post, Step step, StateTensors state);

  // Sends what there is room for; true when all of it is sent.
  bool advance();
  // Precondition: advance() was false.
  WorkerIndex awaits_room() const { return awaits_; }

 private:
  struct Receiver {
    WorkerIndex worker;
    std::size_t next = 0;  // slice
  };

  Post& post_;
  Step step_;
  StateTensors state_;
  std::vector<std::span<const std::byte>> slices_;
  std::vector<Receiver> receivers_;
  WorkerIndex awaits_;
};

class StateTakeOver {
 public:
  // Of a state that has these tensors.
  StateTakeOver(const Place& place, Step step, const StateTensors& shape);

  // Takes what has come; true when all of it is here. Throws Error(corrupt) for a slice of another
  // size.
  bool advance(Inbox& inbox);
  wire::MessageName awaited() const;
  // Precondition: all of it is here. Borrows this object.
  TensorSource source() const;

 private:
  struct Tensor {
    std::string name;
    std::uint64_t bytes = 0;
    std::vector<wire::Buffer> slices{};
    std::uint64_t arrived_bytes = 0;
  };

  job::CellIndex from_;
  Step step_;
  std::vector<Tensor> tensors_;
  std::size_t tensor_ = 0;  // that is under way
  std::uint64_t part_ = 0;  // the next slice, of all tensors
};

}  // namespace ptrain::stage
