// The text before the token that is to be chosen, as far as the model can see it.
//
// A model sees max_position_embeddings tokens. When they are used up, the older half is
// forgotten and the newer half is read again, so text of any length can be generated.
// Borrows the model. One thread.

#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "tools/stage/model/generator.h"

namespace ptrain::stage {

class TextWindow {
 public:
  // `prompt` has at least one token and fewer than `max_tokens`.
  TextWindow(StageModel& model, std::int64_t max_tokens, std::vector<std::int32_t> prompt);

  // Of the token after the text, [vocab]; valid until append().
  std::span<const float> logits() const { return logits_; }
  void append(std::int32_t token);

 private:
  StageModel& model_;
  std::int64_t max_tokens_;
  std::vector<std::int32_t> tokens_;
  std::optional<Generator> generator_;
  std::span<const float> logits_;
};

}  // namespace ptrain::stage
