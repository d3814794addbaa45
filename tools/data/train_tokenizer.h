// ptrain-data train-tokenizer: a SentencePiece model from text.
//
// Byte-pair encoding with the 256 bytes as a fallback, and no normalisation, so every text
// comes back from its tokens unchanged. The same text and options give the same model.

#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

namespace ptrain::data {

// SentencePiece holds its training text in memory, several times over. Of more text than
// this, lines evenly spread over it are used.
inline constexpr std::uint64_t kMaxTrainingBytes = std::uint64_t{64} << 20;
// A longer line is cut: the time that a merge takes grows with it.
inline constexpr std::size_t kMaxTrainingLineBytes = std::size_t{4} << 10;

// The 256 bytes, three control tokens, and at least one piece; as many as anyone uses.
inline constexpr std::uint32_t kMinVocabulary = 260;
inline constexpr std::uint32_t kMaxVocabulary = 1'000'000;

struct TrainTokenizerOptions {
  std::vector<std::string> texts;
  std::uint32_t vocab_size = 0;
  std::string out_prefix;  // the model is PREFIX.model
  bool json = false;
  std::uint64_t max_training_bytes = kMaxTrainingBytes;
};

struct TrainTokenizerResult {
  std::filesystem::path path;    // of the model
  std::uint64_t text_bytes = 0;  // that it was made from
  std::string sha256;            // of the model, in hexadecimal
};

// A signal ends the program at once, with no model written: SentencePiece cannot be asked to
// stop. Throws Error(usage) when the text does not give as many tokens.
TrainTokenizerResult train_tokenizer(const TrainTokenizerOptions& options);

void add_train_tokenizer_options(CLI::App& command, TrainTokenizerOptions& options);
// Trains, prints the path of the model, returns the exit code.
int run_train_tokenizer(const TrainTokenizerOptions& options);

}  // namespace ptrain::data
