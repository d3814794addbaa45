// The module that knows SentencePiece, loaded when it is first needed. It lies beside the
// program, in ../lib/ptrain, and its symbols stay its own: SentencePiece's protobuf and
// libtorch's must not meet in one program.

#pragma once

#include <memory>
#include <string>

#include "libcommon/data/tokenizer.h"

namespace ptrain::data {

// Throws Error(io) when the module cannot be loaded or is of another build; else as
// SentencePieceTokenizer does.
std::unique_ptr<Tokenizer> load_sentencepiece_tokenizer(const std::string& model_path);

}  // namespace ptrain::data
