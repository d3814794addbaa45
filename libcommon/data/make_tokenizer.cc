#include "libcommon/data/byte_tokenizer.h"
#include "libcommon/data/sentencepiece_module.h"
#include "libcommon/data/tokenizer.h"
#include "libcommon/os/mapped_file.h"

namespace ptrain::data {

std::unique_ptr<Tokenizer> make_tokenizer(const std::string& spec) {
  if (spec == ByteTokenizer::kName) return std::make_unique<ByteTokenizer>();
  return load_sentencepiece_tokenizer(spec);
}

std::optional<Sha256Digest> tokenizer_digest(const std::string& spec) {
  if (spec == ByteTokenizer::kName) return std::nullopt;
  return sha256(os::MappedFile(spec).bytes());
}

std::string tokenizer_text(const std::optional<Sha256Digest>& digest) {
  constexpr std::size_t kShownDigits = 12;
  if (!digest) return std::string(ByteTokenizer::kName);
  return "SentencePiece model " + to_hex(*digest).substr(0, kShownDigits);
}

}  // namespace ptrain::data
