// The tokenizer that needs no model: 256 tokens, token b is the byte b.

#pragma once

#include "libcommon/data/tokenizer.h"

namespace ptrain::data {

class ByteTokenizer final : public Tokenizer {
 public:
  static constexpr const char* kName = "bytes";

  const std::string& name() const override { return name_; }
  std::uint32_t vocab_size() const override { return 256; }
  std::optional<std::size_t> first_invalid(std::string_view) const override { return std::nullopt; }
  std::vector<std::uint32_t> encode(std::string_view text) const override;
  std::string_view token_bytes(std::uint32_t token) const override;

 private:
  std::string name_ = kName;
};

}  // namespace ptrain::data
