#include "tools/data/train_tokenizer.h"

#include <algorithm>
#include <deque>
#include <filesystem>
#include <string_view>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>
#include <sentencepiece_trainer.h>
#include <unistd.h>

#include "libcommon/base/error.h"
#include "libcommon/base/log.h"
#include "libcommon/base/sha256.h"
#include "libcommon/cli/exit_code.h"
#include "libcommon/cli/json_line.h"
#include "libcommon/cli/number_range.h"
#include "libcommon/cli/output.h"
#include "libcommon/data/utf8.h"
#include "libcommon/os/atomic_file.h"
#include "libcommon/os/storage.h"
#include "tools/data/text_source.h"

namespace ptrain::data {
namespace {

// What stands for a space in SentencePiece's pieces.
constexpr const char* kSpaceSign = "\xe2\x96\x81";

// Lines of training text, as many as fit into a budget, evenly spread over all the text.
class TrainingLines {
 public:
  TrainingLines(std::uint64_t total_bytes, std::uint64_t max_bytes)
      : taken_share_(
            std::min(1.0, static_cast<double>(max_bytes) /
                              static_cast<double>(std::max<std::uint64_t>(total_bytes, 1)))) {}

  // The lines of a block of text, without their newlines.
  void add(std::string_view block) {
    while (!block.empty()) {
      const std::size_t end = std::min(block.find('\n'), block.size());
      add_line(block.substr(0, end));
      block.remove_prefix(std::min(end + 1, block.size()));
    }
  }

  // SentencePiece ends the program over a required character that no line holds.
  void hold_a_space() {
    const auto has_space = [](const std::string& line) { return line.find(' ') != line.npos; };
    if (std::ranges::none_of(lines_, has_space)) lines_.emplace_back(" ");
  }

  const std::vector<std::string>& lines() const { return lines_; }
  std::uint64_t taken_bytes() const { return taken_bytes_; }

 private:
  void add_line(std::string_view line) {
    seen_bytes_ += line.size() + 1;
    // Within the budget, the share taken so far decides.
    if (static_cast<double>(taken_bytes_ + line.size()) >
        taken_share_ * static_cast<double>(seen_bytes_)) {
      return;
    }
    taken_bytes_ += line.size();
    while (!line.empty()) {
      std::string_view part = line.substr(0, kMaxTrainingLineBytes);
      if (part.size() < line.size()) part.remove_suffix(incomplete_utf8_tail(part));
      lines_.emplace_back(part);
      line.remove_prefix(part.size());
    }
  }

  double taken_share_;
  std::uint64_t seen_bytes_ = 0;
  std::uint64_t taken_bytes_ = 0;
  std::vector<std::string> lines_;
};

// Lines in memory as SentencePiece wants them.
class LineIterator final : public sentencepiece::SentenceIterator {
 public:
  explicit LineIterator(const std::vector<std::string>& lines)
      : next_(lines.begin()), end_(lines.end()) {}

  bool done() const override { return next_ == end_; }
  void Next() override { ++next_; }
  const std::string& value() const override { return *next_; }
  sentencepiece::util::Status status() const override { return {}; }

 private:
  std::vector<std::string>::const_iterator next_;
  std::vector<std::string>::const_iterator end_;
};

TrainingLines read_lines(const TrainTokenizerOptions& options,
                         const std::filesystem::path& directory) {
  // How much there is must be known before the first line is taken or left.
  std::deque<TextSource> sources;
  std::uint64_t total_bytes = 0;
  for (const std::string& path : options.texts) {
    TextSource& source = sources.emplace_back(path);
    if (!source.size()) source.spool(directory);
    total_bytes += source.size().value_or(0);
  }
  TrainingLines lines(total_bytes, options.max_training_bytes);
  for (TextSource& source : sources) {
    TextBlocks blocks(source, kNoCut);
    while (const auto block = blocks.next()) {
      if (const auto invalid = first_invalid_utf8(block->text)) {
        throw not_utf8(source, *block, *invalid);
      }
      lines.add(block->text);
    }
  }
  lines.hold_a_space();
  return lines;
}

// What remains of "./src/trainer.cc(580) [condition] Sentence. Advice." without the library's
// innards, and without advice that names options of its own program.
std::string plain_message(std::string_view message) {
  const std::size_t bracket = message.rfind("] ");
  if (bracket != std::string_view::npos) message.remove_prefix(bracket + 2);
  return std::string(message.substr(0, message.find(" Increase vocab_size")));
}

std::string train(const TrainingLines& lines, std::uint32_t vocab_size) {
  if (lines.taken_bytes() == 0) {
    throw Error(ErrorKind::corrupt, "there is no text in the input", "give a text to learn from");
  }
  const std::unordered_map<std::string, std::string> settings{
      {"model_type", "bpe"},
      {"vocab_size", std::to_string(vocab_size)},
      {"byte_fallback", "true"},
      // Text comes back as it went in.
      {"normalization_rule_name", "identity"},
      {"remove_extra_whitespaces", "false"},
      {"add_dummy_prefix", "false"},
      // As in Llama's own model: digits one by one, and pieces of blanks for indented text.
      {"split_digits", "true"},
      {"allow_whitespace_only_pieces", "true"},
      // However rare it is in the text: the bytes would stand for the sign itself, not for a space.
      {"required_chars", kSpaceSign},
      {"max_sentence_length", std::to_string(kMaxTrainingLineBytes)},
      {"num_threads", "1"},
      {"minloglevel", "2"},
  };
  LineIterator iterator(lines.lines());
  std::string model;
  const auto status = sentencepiece::SentencePieceTrainer::Train(settings, &iterator, &model);
  if (!status.ok()) {
    throw Error(ErrorKind::usage,
                fmt::format("a vocabulary of {} from {} bytes of text: {}", vocab_size,
                            lines.taken_bytes(), plain_message(status.message())),
                "choose another --vocab, or give more text");
  }
  return model;
}

}  // namespace

TrainTokenizerResult train_tokenizer(const TrainTokenizerOptions& options) {
  const std::filesystem::path path = options.out_prefix + ".model";
  const std::filesystem::path directory = path.has_parent_path() ? path.parent_path() : ".";
  StderrLog log("ptrain-data");
  os::PosixStorage storage(&log);
  os::create_directories_durably(storage, directory);
  const TrainingLines lines = read_lines(options, directory);
  const std::string model = train(lines, options.vocab_size);
  os::write_file_durably(storage, path, std::to_string(::getpid()),
                         std::as_bytes(std::span(model)));
  return {.path = path, .text_bytes = lines.taken_bytes(), .sha256 = to_hex(sha256(model))};
}

void add_train_tokenizer_options(CLI::App& command, TrainTokenizerOptions& options) {
  command.footer("Example:\n  ptrain-data train-tokenizer --vocab 4096 --out english alice.txt");
  command.add_option("TEXT", options.texts, "texts; - is standard input")->required();
  command.add_option("--vocab", options.vocab_size, "how many tokens the model has")
      ->required()
      ->check(cli::whole_range(kMinVocabulary, kMaxVocabulary));
  command.add_option("--out", options.out_prefix, "the model is PREFIX.model")
      ->required()
      ->type_name("PREFIX");
  command.add_flag("--json", options.json, "print one JSON object instead of the model's path");
}

int run_train_tokenizer(const TrainTokenizerOptions& options) {
  const TrainTokenizerResult result = train_tokenizer(options);
  if (options.json) {
    cli::print_json_line({{"path", result.path.string()},
                          {"vocab_size", options.vocab_size},
                          {"text_bytes", result.text_bytes},
                          {"sha256", result.sha256}});
  } else {
    cli::print("{}\n", result.path.string());
  }
  return cli::kDone;
}

}  // namespace ptrain::data
