#include "tools/stage/cell/numerics_class.h"

#include <algorithm>
#include <span>

#include "libcommon/base/sha256.h"
#include "tools/stage/cell/tensor_bytes.h"
#include "tools/stage/cell/token_batch.h"
#include "tools/stage/model/stage_model.h"
#include "tools/stage/optim/optimiser.h"

namespace ptrain::stage {
namespace {

constexpr std::int64_t kMostTokens = 4096;  // kinds of them
constexpr std::uint64_t kSeed = 1;
constexpr double kLearningRate = 1e-3;
constexpr std::size_t kDigits = 16;

}  // namespace

std::string numerics_class(const job::Job& job, at::Device device) {
  job::ModelConfig config = job.model;
  config.num_hidden_layers = 1;
  config.vocab_size = std::min(config.vocab_size, kMostTokens);
  const ModelOptions options{.precision = job.precision,
                             .recompute = job::Recompute::none,
                             .device = device,
                             .micro_batch = job.batch.micro,
                             .seq_len = job.data.seq_len,
                             .loss_scale = 1.0 / static_cast<double>(job.tokens_per_step()),
                             .lanes = 1};
  const job::StageSpan whole{.layer_begin = 0, .layer_end = 1, .embedding = true, .head = true};
  StageModel model(config, whole, options);
  model.initialise(kSeed);
  const auto optimiser = make_optimiser(job, model.parameters());
  model.zero_gradients();
  const auto tokens = [&](std::int64_t first) {
    return tokens_from(first, {options.micro_batch, options.seq_len}, config.vocab_size, device);
  };
  const double loss = model.forward_loss(0, tokens(0), tokens(1));
  model.backward(0, {});
  model.finish_gradients();
  optimiser->step(model.parameters(), kLearningRate, 1.0);

  Sha256 hash;
  hash.update(std::as_bytes(std::span(&loss, 1)));
  for (const Parameter& parameter : model.parameters()) {
    const at::Tensor host = parameter.value.to(at::kCPU).contiguous();
    hash.update(tensor_bytes(host));
  }
  return to_hex(hash.digest()).substr(0, kDigits);
}

}  // namespace ptrain::stage
