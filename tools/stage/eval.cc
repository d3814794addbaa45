// ptrain-stage eval: the mean loss of a checkpoint over token shards, in one process.

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "libcommon/base/clock.h"
#include "libcommon/base/error.h"
#include "libcommon/base/log.h"
#include "libcommon/cli/exit_code.h"
#include "libcommon/cli/number_range.h"
#include "libcommon/cli/output.h"
#include "libcommon/cli/progress.h"
#include "libcommon/data/tokenizer.h"
#include "libcommon/os/memory_error.h"
#include "libcommon/os/stop_signal.h"
#include "tools/stage/cell/token_batch.h"
#include "tools/stage/commands.h"
#include "tools/stage/compute_device.h"
#include "tools/stage/model/bfloat16_products.h"
#include "tools/stage/whole_model.h"

namespace ptrain::stage {
namespace {

constexpr std::int64_t kMaxBatchTokens = 16384;  // of one forward: bounds the memory

struct EvalOptions {
  std::string checkpoint;
  std::string step;
  std::vector<std::string> data;
  std::int64_t seq_len = 0;
  bool averages = false;
  bool bfloat16 = false;
  bool json = false;
  ComputeOptions compute;
};

struct EvalResult {
  double loss_sum = 0;  // nats
  std::uint64_t sequences = 0;
};

EvalResult evaluate(StageModel& model, const data::TokenDataset& dataset, std::int64_t batch,
                    at::Device device, const os::StopSignal& stop) {
  const SteadyClock clock;
  cli::ProgressLine progress(clock);
  EvalResult result;
  const std::uint64_t windows = dataset.window_count();
  while (result.sequences < windows && !stop.requested()) {
    std::vector<std::uint64_t> some(
        std::min(windows - result.sequences, static_cast<std::uint64_t>(batch)));
    std::iota(some.begin(), some.end(), result.sequences);
    const TokenBatch tokens = token_batch(dataset, some, device);
    result.loss_sum += model.evaluate(tokens.inputs, tokens.targets);
    result.sequences += some.size();
    progress.update(fmt::format("{} of {} sequences", result.sequences, windows));
  }
  return result;
}

// Tokens of another tokenizer are other words: their loss means nothing.
void require_tokenizer(const data::TokenDataset& dataset, const WholeModel& whole) {
  if (!whole.tokenizer) return;
  const data::TokenShard* shard = dataset.made_by_another(whole.tokenizer->sha256);
  if (shard == nullptr) return;
  throw Error(ErrorKind::usage,
              fmt::format("--data {}: it was made by {}, the checkpoint has {}",
                          shard->path().string(), data::tokenizer_text(shard->header().tokenizer),
                          data::tokenizer_text(whole.tokenizer->sha256)),
              "encode the text with the tokenizer of the training text");
}

int eval(const EvalOptions& options) {
  const os::StopSignal stop("ptrain-stage");
  const at::Device device = prepare_compute(options.compute).device;
  if (device.is_cpu() && options.bfloat16) {
    StderrLog("ptrain-stage").info(describe(bfloat16_products()));
  }
  const std::int64_t batch = std::max<std::int64_t>(1, kMaxBatchTokens / options.seq_len);
  const WholeModel whole =
      load_whole_model({.checkpoint = options.checkpoint,
                        .step = options.step,
                        .averages = options.averages,
                        .precision = options.bfloat16 ? job::ComputePrecision::bfloat16
                                                      : job::ComputePrecision::float32,
                        .device = device,
                        .micro_batch = batch,
                        .seq_len = options.seq_len});
  const job::ModelConfig& config = whole.model->config();
  if (options.seq_len > config.max_position_embeddings) {
    throw Error(ErrorKind::usage,
                fmt::format("--seq-len {}: the model's max_position_embeddings is {}",
                            options.seq_len, config.max_position_embeddings));
  }
  const data::TokenDataset dataset({.globs = options.data,
                                    .seq_len = static_cast<std::uint64_t>(options.seq_len),
                                    .vocab_size = static_cast<std::uint32_t>(config.vocab_size)});
  require_tokenizer(dataset, whole);
  if (device.is_cpu()) {
    os::require_memory(fmt::format("the activations of {} tokens", batch * options.seq_len),
                       whole.model->activation_bytes(0), "use a smaller --seq-len");
  }
  const EvalResult result = evaluate(*whole.model, dataset, batch, device, stop);
  if (stop.requested()) return 128 + stop.signal_number();

  const std::uint64_t tokens = result.sequences * static_cast<std::uint64_t>(options.seq_len);
  const double loss = result.loss_sum / static_cast<double>(tokens);
  if (options.json) {
    const nlohmann::ordered_json record{{"checkpoint", whole.id}, {"step", whole.step.value()},
                                        {"loss", loss},           {"perplexity", std::exp(loss)},
                                        {"tokens", tokens},       {"sequences", result.sequences}};
    cli::print("{}\n", record.dump());
  } else {
    cli::print("step {}: loss {:.6f} nats per token (perplexity {:.3f}) over {} tokens\n",
               whole.step.value(), loss, std::exp(loss), tokens);
  }
  return cli::kDone;
}

}  // namespace

void add_eval(CLI::App& app, Command& command) {
  CLI::App* sub = app.add_subcommand("eval", "Mean loss of a checkpoint over token shards");
  sub->footer(
      "Example:\n"
      "  ptrain-stage eval --checkpoint run/ckpt --data 'data/val_*.bin' --seq-len 256");
  auto o = std::make_shared<EvalOptions>();
  sub->add_option("--checkpoint", o->checkpoint, "A checkpoint: run, run/latest, ckpt/1200")
      ->required();
  sub->add_option("--step", o->step, "Of a folder: latest, or a checkpoint's step or id");
  sub->add_option("--data", o->data, "Token shards, or globs of them")->required();
  sub->add_option("--seq-len", o->seq_len, "Tokens a sequence")
      ->required()
      ->check(cli::whole_range(std::int64_t{1}, std::int64_t{1} << 24));
  sub->add_flag("--averages", o->averages, "Of the weights, in their place (optim.ema)");
  sub->add_flag("--bfloat16", o->bfloat16, "Compute in bfloat16 instead of float32");
  sub->add_flag("--json", o->json, "Print the result as JSON");
  add_compute_options(*sub, o->compute);
  sub->callback([&command, o] { command = [o] { return eval(*o); }; });
}

}  // namespace ptrain::stage
