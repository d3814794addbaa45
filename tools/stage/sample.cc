// ptrain-stage sample: text from a checkpoint, token by token.

#include <cerrno>
#include <cstdio>
#include <limits>
#include <memory>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/cli/exit_code.h"
#include "libcommon/cli/number_range.h"
#include "libcommon/cli/output.h"
#include "libcommon/data/tokenizer.h"
#include "libcommon/os/stop_signal.h"
#include "tools/stage/commands.h"
#include "tools/stage/compute_device.h"
#include "tools/stage/sampler.h"
#include "tools/stage/text_window.h"
#include "tools/stage/whole_model.h"

namespace ptrain::stage {
namespace {

struct SampleOptions {
  std::string checkpoint;
  std::string step;
  bool averages = false;
  std::string prompt = "\n";
  std::string tokenizer;  // empty: the checkpoint's
  std::int64_t tokens = 400;
  std::uint64_t seed = 0;
  SamplerOptions sampler;
  int threads = 0;
};

void print_now(const std::string& text) {
  cli::write_output(text);
  cli::flush_output();
}

std::vector<std::int32_t> encode_prompt(const data::Tokenizer& tokenizer,
                                        const std::string& prompt) {
  const std::vector<std::uint32_t> tokens = tokenizer.encode(prompt);
  if (tokens.empty()) {
    throw Error(ErrorKind::usage,
                "--prompt: it is empty, and the model needs a token to begin with");
  }
  return {tokens.begin(), tokens.end()};
}

// The one that made the text that the model was trained on. Of a checkpoint that has none it is
// not known whether it is another one than bytes.
std::unique_ptr<data::Tokenizer> tokenizer_for(const SampleOptions& options,
                                               const WholeModel& whole) {
  const auto& own = whole.tokenizer;
  if (options.tokenizer.empty()) return data::make_tokenizer(own ? own->path.string() : "bytes");
  const auto named = data::tokenizer_digest(options.tokenizer);
  if (own && named != own->sha256) {
    throw Error(ErrorKind::usage,
                fmt::format("--tokenizer {}: it is {}, the checkpoint has {}", options.tokenizer,
                            data::tokenizer_text(named), data::tokenizer_text(own->sha256)),
                "leave --tokenizer out");
  }
  return data::make_tokenizer(options.tokenizer);
}

int sample(const SampleOptions& options) {
  const os::StopSignal stop("ptrain-stage");
  prepare_compute({.threads = options.threads});
  const WholeModel whole = load_whole_model(
      {.checkpoint = options.checkpoint, .step = options.step, .averages = options.averages});
  const job::ModelConfig& config = whole.model->config();
  const auto tokenizer = tokenizer_for(options, whole);
  if (tokenizer->vocab_size() > config.vocab_size) {
    throw Error(ErrorKind::usage,
                fmt::format("--tokenizer {}: it has {} tokens, the model {}", tokenizer->name(),
                            tokenizer->vocab_size(), config.vocab_size),
                "use the tokenizer that the training text was encoded with");
  }
  const std::vector<std::int32_t> prompt = encode_prompt(*tokenizer, options.prompt);
  const auto room = config.max_position_embeddings - static_cast<std::int64_t>(prompt.size());
  if (room < 1) {
    throw Error(ErrorKind::usage,
                fmt::format("--prompt: {} tokens; the model's max_position_embeddings is {}",
                            prompt.size(), config.max_position_embeddings));
  }

  job::KeyedRandom random(options.seed, "sample");
  data::StreamDecoder text(*tokenizer);
  print_now(options.prompt);
  TextWindow window(*whole.model, config.max_position_embeddings, prompt);
  for (std::int64_t i = 0; i < options.tokens && !stop.requested(); ++i) {
    // A model may have more tokens than its tokenizer: those mean nothing.
    const auto logits = window.logits().first(tokenizer->vocab_size());
    const std::int32_t token = sample_token(logits, options.sampler, random);
    print_now(text.push(static_cast<std::uint32_t>(token)));
    window.append(token);
  }
  print_now(text.finish() + "\n");
  return stop.requested() ? 128 + stop.signal_number() : cli::kDone;
}

}  // namespace

void add_sample(CLI::App& app, Command& command) {
  CLI::App* sub = app.add_subcommand("sample", "Continue a prompt with text from a checkpoint");
  sub->footer(
      "Example:\n"
      "  ptrain-stage sample --checkpoint run/ckpt --prompt \"Once upon a time\" --seed 7");
  auto o = std::make_shared<SampleOptions>();
  sub->add_option("--checkpoint", o->checkpoint, "A checkpoint: run, run/latest, ckpt/1200")
      ->required();
  sub->add_option("--step", o->step, "Of a folder: latest, or a checkpoint's step or id");
  sub->add_flag("--averages", o->averages, "Of the weights, in their place (optim.ema)");
  sub->add_option("--prompt", o->prompt, "Text to continue (default: a line break)");
  sub->add_option("--tokens", o->tokens, "Tokens to generate")
      ->check(cli::whole_range(std::int64_t{1}, std::int64_t{1} << 32))
      ->capture_default_str();
  sub->add_option("--temperature", o->sampler.temperature, "0 takes the likeliest token")
      ->check(cli::number_range(0.0, 100.0))
      ->capture_default_str();
  sub->add_option("--top-k", o->sampler.top_k, "Among the K likeliest tokens; 0: among all")
      ->check(cli::whole_range(0, std::numeric_limits<std::int32_t>::max()))
      ->capture_default_str();
  sub->add_option("--seed", o->seed, "Of the random choices")
      ->check(cli::any_whole())
      ->capture_default_str();
  sub->add_option("--tokenizer", o->tokenizer,
                  "bytes, or a SentencePiece model (default: the checkpoint's)");
  sub->add_option("--threads", o->threads, "Threads to compute with (default: processors)")
      ->check(cli::whole_range(1, 1024));
  sub->callback([&command, o] { command = [o] { return sample(*o); }; });
}

}  // namespace ptrain::stage
