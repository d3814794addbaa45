#include "libcommon/data/byte_tokenizer.h"
#include "libcommon/data/sentencepiece_module.h"
#include "libcommon/data/tokenizer.h"

namespace ptrain::data {

std::unique_ptr<Tokenizer> make_tokenizer(const std::string& spec) {
  if (spec == ByteTokenizer::kName) return std::make_unique<ByteTokenizer>();
  return load_sentencepiece_tokenizer(spec);
}

}  // namespace ptrain::data
