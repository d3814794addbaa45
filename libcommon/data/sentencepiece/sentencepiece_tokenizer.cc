#include "libcommon/data/sentencepiece/sentencepiece_tokenizer.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>
#include <sentencepiece_processor.h>

#include "libcommon/base/error.h"
#include "libcommon/data/utf8.h"
#include "libcommon/os/mapped_file.h"

namespace ptrain::data {
namespace {

using sentencepiece::SentencePieceProcessor;

constexpr std::string_view kSpace = "\xe2\x96\x81";        // U+2581 stands for a space in pieces
constexpr std::string_view kReplacement = "\xef\xbf\xbd";  // U+FFFD for what the model lacks

// "<0x0A>", the name of a byte token, to the byte.
std::string byte_of(const std::string& piece) {
  unsigned value = 0;
  std::from_chars(piece.data() + 3, piece.data() + 5, value, 16);
  return {static_cast<char>(value)};
}

std::string with_spaces(std::string_view piece) {
  std::string text;
  while (!piece.empty()) {
    const bool space = piece.starts_with(kSpace);
    text.push_back(space ? ' ' : piece.front());
    piece.remove_prefix(space ? kSpace.size() : 1);
  }
  return text;
}

std::string bytes_of(const SentencePieceProcessor& processor, int token) {
  if (processor.IsControl(token) || processor.IsUnused(token)) return {};
  if (processor.IsUnknown(token)) return std::string(kReplacement);
  const std::string& piece = processor.IdToPiece(token);
  return processor.IsByte(token) ? byte_of(piece) : with_spaces(piece);
}

std::vector<int> encode_with(const SentencePieceProcessor& processor, std::string_view text) {
  std::vector<int> ids;
  const auto status = processor.Encode({text.data(), text.size()}, &ids);
  if (!status.ok()) throw Error(ErrorKind::internal, "SentencePiece: " + status.ToString());
  return ids;
}

}  // namespace

struct SentencePieceTokenizer::Model {
  SentencePieceProcessor processor;
};

SentencePieceTokenizer::SentencePieceTokenizer(const std::string& model_path) : name_(model_path) {
  const os::MappedFile file(model_path);
  const std::span bytes = file.bytes();
  auto model = std::make_unique<Model>();
  SentencePieceProcessor& processor = model->processor;
  const auto status = processor.LoadFromSerializedProto(
      {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  if (!status.ok() || processor.GetPieceSize() == 0) {
    throw Error(ErrorKind::corrupt, fmt::format("{}: not a SentencePiece model", model_path),
                "make one with ptrain-data train-tokenizer, or use the tokenizer \"bytes\"");
  }
  for (int token = 0; token < processor.GetPieceSize(); ++token) {
    bytes_.push_back(ptrain::data::bytes_of(processor, token));
  }
  // The newline stands for itself when its tokens decode to one, after the space that the model
  // puts before all text.
  std::vector<int> newline = encode_with(processor, "\n");
  std::string decoded;
  for (const int token : newline) decoded += bytes_[static_cast<std::size_t>(token)];
  if (decoded == "\n" || decoded == " \n") after_newline_ = std::move(newline);
  model_ = std::move(model);
}

SentencePieceTokenizer::~SentencePieceTokenizer() = default;

std::uint32_t SentencePieceTokenizer::vocab_size() const {
  return static_cast<std::uint32_t>(bytes_.size());
}

std::optional<std::size_t> SentencePieceTokenizer::first_invalid(std::string_view text) const {
  return first_invalid_utf8(text);
}

std::vector<std::uint32_t> SentencePieceTokenizer::encode(std::string_view text) const {
  if (const auto offset = first_invalid(text)) {
    throw Error(ErrorKind::corrupt,
                fmt::format("byte {:#04x} at offset {} of the text is not UTF-8",
                            static_cast<unsigned char>(text[*offset]), *offset),
                "convert the text to UTF-8, or use the tokenizer \"bytes\"");
  }
  std::vector<std::uint32_t> tokens;
  while (!text.empty()) {
    const std::size_t newline = text.find('\n');
    const std::string_view line =
        text.substr(0, newline == std::string_view::npos ? newline : newline + 1);
    append_line(line, tokens);
    text.remove_prefix(line.size());
  }
  return tokens;
}

void SentencePieceTokenizer::append_line(std::string_view line,
                                         std::vector<std::uint32_t>& tokens) const {
  if (!after_newline_.empty()) {
    const std::vector<int> ids = encode_with(model_->processor, "\n" + std::string(line));
    const auto [prefix_end, line_begin] =
        std::mismatch(after_newline_.begin(), after_newline_.end(), ids.begin(), ids.end());
    if (prefix_end == after_newline_.end()) {
      tokens.insert(tokens.end(), line_begin, ids.end());
      return;
    }
    // The model has a piece that joins the newline to what follows: the line goes without one.
  }
  const std::vector<int> ids = encode_with(model_->processor, line);
  tokens.insert(tokens.end(), ids.begin(), ids.end());
}

std::string_view SentencePieceTokenizer::token_bytes(std::uint32_t token) const {
  require_in_vocabulary(token);
  return bytes_[token];
}

}  // namespace ptrain::data
