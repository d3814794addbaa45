#include "tools/data/encode.h"

#include <cmath>
#include <memory>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/base/log.h"
#include "libcommon/cli/exit_code.h"
#include "libcommon/cli/json_line.h"
#include "libcommon/cli/number_range.h"
#include "libcommon/cli/output.h"
#include "libcommon/cli/progress.h"
#include "libcommon/data/text_encoder.h"
#include "libcommon/data/tokenizer.h"
#include "tools/data/text_source.h"

namespace ptrain::data {
namespace {

constexpr double kMegabyte = 1e6;

TokenWidth width_for(const EncodeOptions& options, const Tokenizer& tokenizer) {
  if (options.width) return *options.width;
  return tokenizer.vocab_size() - 1 <= kMax16BitToken ? TokenWidth::bits16 : TokenWidth::bits32;
}

// Where the validation split of a text of this many bytes begins.
std::uint64_t validation_start(std::uint64_t text_bytes, double val_fraction) {
  if (val_fraction == 0.0) return kNoCut;
  return text_bytes -
         static_cast<std::uint64_t>(std::floor(static_cast<double>(text_bytes) * val_fraction));
}

class Encoder {
 public:
  Encoder(const EncodeOptions& options, const Clock& clock, const os::StopSignal& stop)
      : options_(options),
        stop_(stop),
        clock_(clock),
        started_(clock.now()),
        progress_(clock),
        tokenizer_(make_tokenizer(options.tokenizer)),
        log_("ptrain-data"),
        shards_({.directory = options.out,
                 .width = width_for(options, *tokenizer_),
                 .tokenizer = tokenizer_digest(options.tokenizer),
                 .shard_tokens = options.shard_tokens,
                 .existing = options.replace ? ExistingShards::replace : ExistingShards::refuse,
                 .log = &log_}) {}

  std::optional<EncodeResult> run() {
    for (const std::string& path : options_.texts) {
      encode_text(path);
      if (stop_.requested()) return std::nullopt;
    }
    if (text_bytes_ == 0) {
      throw Error(ErrorKind::corrupt, "there is no text in the input", "give a text to encode");
    }
    std::vector<ShardRecord> records = shards_.commit();
    return EncodeResult{.tokenizer = tokenizer_->name(),
                        .vocab_size = tokenizer_->vocab_size(),
                        .text_bytes = text_bytes_,
                        .shards = std::move(records),
                        .elapsed_s = elapsed_s()};
  }

 private:
  void encode_text(const std::string& path) {
    TextSource source(path, &stop_);
    // The last fraction of a text is known once its length is.
    if (options_.val_fraction > 0.0 && !source.size()) source.spool(options_.out);
    TextBlocks blocks(source, validation_start(source.size().value_or(0), options_.val_fraction));
    TextEncoder encoder(*tokenizer_);
    Split split = Split::train;
    while (const auto block = blocks.next()) {
      if (stop_.requested()) return;
      if (const auto invalid = tokenizer_->first_invalid(block->text)) {
        throw not_utf8(source, *block, *invalid);
      }
      if (block->after_cut && split == Split::train) {  // each side is a text of its own
        shards_.append(split, encoder.finish());
        split = Split::val;
      }
      shards_.append(split, encoder.push(block->text));
      text_bytes_ += block->text.size();
      show_progress(source, block->offset + block->text.size());
    }
    shards_.append(split, encoder.finish());
  }

  void show_progress(const TextSource& source, std::uint64_t done) {
    if (!progress_.active()) return;
    const std::string part = source.size()
                                 ? fmt::format("{:.0f} %", 100.0 * static_cast<double>(done) /
                                                               static_cast<double>(*source.size()))
                                 : fmt::format("{:.0f} MB", static_cast<double>(done) / kMegabyte);
    progress_.update(fmt::format("{}  {}  {:.1f} MB/s", source.name(), part,
                                 static_cast<double>(text_bytes_) / kMegabyte / elapsed_s()));
  }

  double elapsed_s() const { return seconds(clock_.now() - started_); }

  const EncodeOptions& options_;
  const os::StopSignal& stop_;
  const Clock& clock_;
  const TimePoint started_;
  cli::ProgressLine progress_;
  std::unique_ptr<const Tokenizer> tokenizer_;
  StderrLog log_;
  ShardSet shards_;
  std::uint64_t text_bytes_ = 0;
};

nlohmann::ordered_json to_json(const EncodeResult& result) {
  nlohmann::ordered_json shards = nlohmann::ordered_json::array();
  std::array<std::uint64_t, kSplits.size()> tokens{};
  for (const ShardRecord& shard : result.shards) {
    tokens[static_cast<std::size_t>(shard.split)] += shard.header.token_count;
    shards.push_back({{"path", shard.path.string()},
                      {"split", name_of(shard.split)},
                      {"tokens", shard.header.token_count},
                      {"size_bytes", shard.header.file_bytes()}});
  }
  nlohmann::ordered_json json{{"tokenizer", result.tokenizer},
                              {"vocab_size", result.vocab_size},
                              {"text_bytes", result.text_bytes},
                              {"elapsed_s", result.elapsed_s}};
  for (const Split split : kSplits) {
    json[fmt::format("{}_tokens", name_of(split))] = tokens[static_cast<std::size_t>(split)];
  }
  json["shards"] = std::move(shards);
  return json;
}

}  // namespace

std::optional<EncodeResult> encode(const EncodeOptions& options, const Clock& clock,
                                   const os::StopSignal& stop) {
  return Encoder(options, clock, stop).run();
}

void add_encode_options(CLI::App& command, EncodeOptions& options) {
  command.footer("Example:\n  ptrain-data encode --val-fraction 0.1 --out tokens alice.txt");
  command.add_option("TEXT", options.texts, "texts in order; - is standard input")->required();
  command.add_option("--out", options.out, "folder for train_*.bin and val_*.bin")
      ->required()
      ->type_name("DIR");
  command.add_option("--tokenizer", options.tokenizer, "bytes, or a SentencePiece model")
      ->capture_default_str();
  command
      .add_option("--val-fraction", options.val_fraction,
                  "how much of each text, from its end, goes into the validation split")
      ->check([](const std::string& text) {
        const double fraction = std::strtod(text.c_str(), nullptr);
        return fraction >= 0.0 && fraction < 1.0 ? "" : "must be at least 0 and below 1";
      })
      ->capture_default_str();
  command
      .add_option_function<std::string>(
          "--width",
          [&](const std::string& bits) {
            options.width = bits == "16" ? TokenWidth::bits16 : TokenWidth::bits32;
          },
          "bits a token; else what the vocabulary needs")
      ->check(CLI::IsMember({"16", "32"}));
  command.add_option("--shard-tokens", options.shard_tokens, "the most that one shard gets")
      ->check(cli::whole_range(std::uint64_t{1}, kMaxShardTokens))
      ->capture_default_str();
  command.add_flag("--replace", options.replace, "replace the shards that DIR holds already");
  command.add_flag("--json", options.json, "print one JSON object instead of the shards' paths");
}

int run_encode(const EncodeOptions& options) {
  const os::StopSignal stop("ptrain-data");
  const SteadyClock clock;
  const std::optional<EncodeResult> result = encode(options, clock, stop);
  if (!result) return 128 + stop.signal_number();
  if (options.json) {
    cli::print_json_line(to_json(*result));
  } else {
    for (const ShardRecord& shard : result->shards) cli::print("{}\n", shard.path.string());
  }
  return cli::kDone;
}

}  // namespace ptrain::data
