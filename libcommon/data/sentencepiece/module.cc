// The one symbol by which data/sentencepiece_module.cc enters this module.

#include "libcommon/data/sentencepiece/sentencepiece_tokenizer.h"

extern "C" ptrain::data::Tokenizer* PTRAIN_MODULE_ENTRY(const char* model_path) {
  return new ptrain::data::SentencePieceTokenizer(model_path);
}
