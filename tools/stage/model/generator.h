// Incremental decoding of one sequence with a cache of keys and values: the cost of a new
// token does not grow with the square of the text before it.
//
// Borrows the model, which must hold all layers, in float32 on the CPU. One thread at a time.
// Failure: Error{usage} past max_tokens, on an empty input or on a token outside the vocabulary.

#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "tools/stage/model/stage_model.h"

namespace ptrain::stage {

class Generator {
 public:
  Generator(StageModel& whole_model, std::int64_t max_tokens);
  ~Generator();
  Generator(const Generator&) = delete;
  Generator& operator=(const Generator&) = delete;

  // Appends `new_tokens` and returns the logits [vocab] of what follows the last of them,
  // valid until the next call.
  std::span<const float> next_logits(std::span<const std::int32_t> new_tokens);

  std::int64_t position() const;  // tokens so far

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ptrain::stage
