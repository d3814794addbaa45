#include "tools/data/decode.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <vector>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/cli/exit_code.h"
#include "libcommon/cli/number_range.h"
#include "libcommon/cli/output.h"

namespace ptrain::data {
namespace {

constexpr std::size_t kDecodeTokens = std::size_t{1} << 18;  // at once

void require_vocabulary(const TokenStream& stream, const Tokenizer& tokenizer,
                        std::span<const std::uint32_t> tokens) {
  const auto beyond = std::find_if(tokens.begin(), tokens.end(), [&](std::uint32_t token) {
    return token >= tokenizer.vocab_size();
  });
  if (beyond == tokens.end()) return;
  const auto left = static_cast<std::uint64_t>(tokens.end() - beyond);
  throw Error(ErrorKind::corrupt,
              fmt::format("{}: token {} at index {} is not below {}, the vocabulary size of "
                          "tokenizer {}",
                          stream.name(), *beyond, stream.position() - left, tokenizer.vocab_size(),
                          tokenizer.name()),
              "decode with the --tokenizer that the text was encoded with");
}

void require_tokenizer(const TokenStream& stream, const std::string& spec) {
  const auto& made_by = stream.header().tokenizer;
  const auto ours = tokenizer_digest(spec);
  if (!made_by || made_by == ours) return;
  throw Error(ErrorKind::usage,
              fmt::format("--tokenizer {}: it is {}, {} was made by {}", spec, tokenizer_text(ours),
                          stream.name(), tokenizer_text(made_by)),
              "decode with the --tokenizer that the text was encoded with");
}

}  // namespace

void add_decode_options(CLI::App& command, DecodeOptions& options) {
  command.footer("Example:\n  ptrain-data decode tokens/val_000000.bin --count 1000");
  command.add_option("SHARD", options.shard, "a token shard; - is standard input")->required();
  command.add_option("--tokenizer", options.tokenizer, "bytes, or a SentencePiece model")
      ->capture_default_str();
  command.add_option("--begin", options.begin, "the first token")
      ->check(cli::any_whole())
      ->capture_default_str();
  command.add_option("--count", options.count, "how many tokens; else all to the end")
      ->check(cli::any_whole());
}

int run_decode(const DecodeOptions& options) {
  const std::unique_ptr<const Tokenizer> tokenizer = make_tokenizer(options.tokenizer);
  TokenStream stream(options.shard);
  require_tokenizer(stream, options.tokenizer);
  const std::uint64_t total = stream.header().token_count;
  if (options.begin > total) {
    throw Error(ErrorKind::usage,
                fmt::format("--begin {}: {} has {} tokens", options.begin, stream.name(), total));
  }
  std::vector<std::uint32_t> tokens(kDecodeTokens);
  const auto read_at_most = [&](std::uint64_t count) {
    return std::span(tokens).first(
        stream.read(std::span(tokens).first(std::min<std::uint64_t>(count, tokens.size()))));
  };
  while (stream.position() < options.begin) read_at_most(options.begin - stream.position());
  const std::uint64_t end =
      options.begin + std::min(options.count.value_or(total), total - options.begin);
  while (stream.position() < end) {
    const std::span part = read_at_most(end - stream.position());
    require_vocabulary(stream, *tokenizer, part);
    const bool at_beginning = stream.position() == part.size();
    cli::write_output(at_beginning ? tokenizer->decode(part) : tokenizer->decode_on(part));
  }
  return cli::kDone;
}

}  // namespace ptrain::data
