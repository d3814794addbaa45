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

constexpr const char* kAnchor = "a";
constexpr std::size_t kSegmentBytes = std::size_t{16} << 10;

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

// Some piece holds `sign` behind another one, and so may reach over the place before it.
bool reaches_over(const SentencePieceProcessor& processor, std::string_view sign) {
  for (int token = 0; token < processor.GetPieceSize(); ++token) {
    if (processor.IsControl(token) || processor.IsUnknown(token) || processor.IsByte(token)) {
      continue;
    }
    std::string_view piece = processor.IdToPiece(token);
    while (piece.starts_with(sign)) piece.remove_prefix(sign.size());
    if (piece.find(sign) != std::string_view::npos) return true;
  }
  return false;
}

struct CodePointRange {
  char32_t first;
  char32_t last;
};

// Letters and signs, none of which a normaliser makes a space of, or nothing at all. Not all there
// are: a place to cut must be certain, not frequent.
constexpr CodePointRange kPlain[] = {{0x21, 0x7e},     {0xc0, 0x167f},    {0x1681, 0x180a},
                                     {0x1810, 0x1fff}, {0x3001, 0xd7ff},  {0xf900, 0xfdff},
                                     {0xff01, 0xffef}, {0x10000, 0x1ffff}};

// Whether the character before the offset, which is above 0, is one of these. The text is UTF-8.
bool is_plain_before(std::string_view text, std::size_t offset) {
  std::size_t begin = offset - 1;
  while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xc0) == 0x80) --begin;
  const auto lead = static_cast<unsigned char>(text[begin]);
  char32_t code = lead < 0x80   ? lead
                  : lead < 0xe0 ? lead & 0x1f
                  : lead < 0xf0 ? lead & 0x0f
                                : lead & 0x07;
  for (std::size_t i = begin + 1; i < offset; ++i) {
    code = code << 6 | (static_cast<unsigned char>(text[i]) & 0x3f);
  }
  return std::ranges::any_of(
      kPlain, [code](const CodePointRange& r) { return code >= r.first && code <= r.last; });
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
  model_ = std::move(model);
  find_cuts();
}

void SentencePieceTokenizer::find_cuts() {
  const SentencePieceProcessor& processor = model_->processor;
  const auto encoded = [&](std::string_view text) { return encode_with(processor, text); };
  const auto known = [&](std::string_view text) {
    return std::ranges::none_of(encoded(text), [&](int id) { return processor.IsUnknown(id); });
  };
  anchor_ = encoded(kAnchor);
  std::string decoded;
  for (const int token : anchor_) decoded += bytes_[static_cast<std::size_t>(token)];
  if (decoded.starts_with(' ')) text_prefix_ = " ";
  // A run of unknown characters is one token: it, too, reaches over.
  cuts_at_space_ = !reaches_over(processor, kSpace) &&
                   !processor.IsUnknown(processor.PieceToId(std::string(kSpace)));
  const bool newline_is_space = encoded("a\nb") == encoded("a b");
  cuts_at_newline_ =
      newline_is_space ? cuts_at_space_ : !reaches_over(processor, "\n") && known("\n");
}

SentencePieceTokenizer::~SentencePieceTokenizer() = default;

std::uint32_t SentencePieceTokenizer::vocab_size() const {
  return static_cast<std::uint32_t>(bytes_.size());
}

std::optional<std::size_t> SentencePieceTokenizer::first_invalid(std::string_view text) const {
  return first_invalid_utf8(text);
}

void SentencePieceTokenizer::require_utf8(std::string_view text) const {
  const auto offset = first_invalid(text);
  if (!offset) return;
  throw Error(ErrorKind::corrupt,
              fmt::format("byte {:#04x} at offset {} of the text is not UTF-8",
                          static_cast<unsigned char>(text[*offset]), *offset),
              "convert the text to UTF-8, or use the tokenizer \"bytes\"");
}

std::vector<std::uint32_t> SentencePieceTokenizer::encode(std::string_view text) const {
  require_utf8(text);
  const std::size_t cut = first_cut(text);
  const std::vector<int> ids = encode_with(model_->processor, text.substr(0, cut));
  std::vector<std::uint32_t> tokens(ids.begin(), ids.end());
  append_segments(text.substr(cut), tokens);
  return tokens;
}

std::vector<std::uint32_t> SentencePieceTokenizer::encode_on(std::string_view text) const {
  require_utf8(text);
  std::vector<std::uint32_t> tokens;
  append_segments(text, tokens);
  return tokens;
}

bool SentencePieceTokenizer::may_cut(std::string_view text, std::size_t offset) const {
  const bool here =
      (text[offset] == ' ' && cuts_at_space_) || (text[offset] == '\n' && cuts_at_newline_);
  return here && offset > 0 && is_plain_before(text, offset);
}

std::size_t SentencePieceTokenizer::last_cut(std::string_view text) const {
  for (std::size_t offset = text.size(); offset-- > 1;) {
    if (may_cut(text, offset)) return offset;
  }
  return 0;
}

// Of a segment that is long enough; the end of the text where it has no such place.
std::size_t SentencePieceTokenizer::first_cut(std::string_view text) const {
  for (std::size_t offset = kSegmentBytes; offset < text.size(); ++offset) {
    if (may_cut(text, offset)) return offset;
  }
  return text.size();
}

void SentencePieceTokenizer::append_segments(std::string_view text,
                                             std::vector<std::uint32_t>& tokens) const {
  while (!text.empty()) {
    const std::size_t cut = first_cut(text);
    append_behind_anchor(text.substr(0, cut), tokens);
    text.remove_prefix(cut);
  }
}

void SentencePieceTokenizer::append_behind_anchor(std::string_view segment,
                                                  std::vector<std::uint32_t>& tokens) const {
  std::vector<int> ids = encode_with(model_->processor, kAnchor + std::string(segment));
  if (std::ranges::mismatch(anchor_, ids).in1 == anchor_.end()) {
    ids.erase(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(anchor_.size()));
  } else {
    // The text was cut where it cannot be (TextEncoder), and a piece joins the anchor to it.
    ids = encode_with(model_->processor, segment);
  }
  tokens.insert(tokens.end(), ids.begin(), ids.end());
}

std::string_view SentencePieceTokenizer::token_bytes(std::uint32_t token) const {
  require_in_vocabulary(token);
  return bytes_[token];
}

}  // namespace ptrain::data
