#include "libcommon/data/text_encoder.h"

#include "libcommon/data/utf8.h"

namespace ptrain::data {

std::vector<std::uint32_t> TextEncoder::push(std::string_view block) {
  waiting_ += block;
  std::size_t cut = tokenizer_.last_cut(waiting_);
  if (cut == 0 && waiting_.size() > kMaxUncutBytes) {
    cut = waiting_.size() - incomplete_utf8_tail(waiting_);
  }
  return take(cut);
}

std::vector<std::uint32_t> TextEncoder::finish() {
  std::vector<std::uint32_t> tokens = take(waiting_.size());
  begun_ = false;
  return tokens;
}

std::vector<std::uint32_t> TextEncoder::take(std::size_t bytes) {
  if (bytes == 0) return {};
  const std::string_view part = std::string_view(waiting_).substr(0, bytes);
  std::vector<std::uint32_t> tokens = begun_ ? tokenizer_.encode_on(part) : tokenizer_.encode(part);
  begun_ = true;
  waiting_.erase(0, bytes);
  return tokens;
}

}  // namespace ptrain::data
