#include "tools/stage/text_window.h"

namespace ptrain::stage {

TextWindow::TextWindow(StageModel& model, std::int64_t max_tokens, std::vector<std::int32_t> prompt)
    : model_(model), max_tokens_(max_tokens), tokens_(std::move(prompt)) {
  generator_.emplace(model_, max_tokens_);
  logits_ = generator_->next_logits(tokens_);
}

void TextWindow::append(std::int32_t token) {
  tokens_.push_back(token);
  if (generator_->position() < max_tokens_) {
    logits_ = generator_->next_logits(std::span(&token, 1));
    return;
  }
  tokens_.erase(tokens_.begin(), tokens_.end() - (max_tokens_ + 1) / 2);
  generator_.emplace(model_, max_tokens_);
  logits_ = generator_->next_logits(tokens_);
}

}  // namespace ptrain::stage
