#include "libcommon/job/job_checks.h"

#include <fmt/format.h>

#include "libcommon/job/job_keys.h"
#include "libcommon/job/stage_span.h"

namespace ptrain::job {
namespace {

std::optional<Complaint> check_batch(const Job& job) {
  if (job.batch.global % job.batch.micro != 0) {
    return Complaint{{"batch.micro", "batch.global"},
                     fmt::format("must divide batch.global = {}", job.batch.global),
                     "a step is a whole number of microbatches"};
  }
  if (job.lanes.count > job.batch.microbatches()) {
    return Complaint{
        {"lanes.count", "batch.micro", "batch.global"},
        fmt::format("must be at most batch.global / batch.micro = {}", job.batch.microbatches()),
        "a lane computes whole microbatches, one at least"};
  }
  if (job.data.seq_len > job.model.max_position_embeddings) {
    return Complaint{{"data.seq_len", "model.max_position_embeddings"},
                     fmt::format("must be at most model.max_position_embeddings = {}",
                                 job.model.max_position_embeddings),
                     "shorten the sequences or raise model.max_position_embeddings"};
  }
  return std::nullopt;
}

std::optional<Complaint> check_run(const Job& job) {
  if (job.data.train.empty()) {
    return Complaint{{"data.train"}, "must name at least one file", "ptrain-data encode makes one"};
  }
  if (job.optim.warmup_steps > job.train.steps) {
    return Complaint{{"optim.warmup_steps", "train.steps"},
                     fmt::format("must be at most train.steps = {}", job.train.steps),
                     "warm-up is a part of the run"};
  }
  if (job.eval.every > 0 && job.data.val.empty()) {
    return Complaint{{"eval.every"},
                     "there is nothing to evaluate on without data.val",
                     "give data.val, or set eval.every to 0"};
  }
  return std::nullopt;
}

std::optional<Complaint> check_pipeline(const Job& job) {
  const PipelineConfig& pipeline = job.pipeline;
  if (pipeline.schedule == PipelineSchedule::gpipe && pipeline.in_flight > 0) {
    return Complaint{{"pipeline.in_flight"},
                     "only schedule \"1f1b\" has a depth; gpipe holds every microbatch",
                     "leave pipeline.in_flight out, or use pipeline.schedule = \"1f1b\""};
  }
  const std::int64_t blocks = kBlocksPerLayer * job.model.num_hidden_layers;
  if (pipeline.stages > blocks) {
    return Complaint{{"pipeline.stages", "model.num_hidden_layers"},
                     fmt::format("must be at most {}, the blocks of {} layers", blocks,
                                 job.model.num_hidden_layers),
                     "a stage holds one block at least"};
  }
  if (!pipeline.borders.empty() && layers_in_all(pipeline.borders) != job.model.num_hidden_layers) {
    return Complaint{{"pipeline.borders", "model.num_hidden_layers"},
                     fmt::format("adds up to {}, but model.num_hidden_layers = {}",
                                 layers_in_all(pipeline.borders), job.model.num_hidden_layers),
                     "give the layers of each piece between two borders, as in pipeline.layers"};
  }
  if (pipeline.layers.empty()) return std::nullopt;
  const auto named = static_cast<std::int64_t>(pipeline.layers.size());
  if (pipeline.stages != 0 && pipeline.stages != named) {
    return Complaint{{"pipeline.stages", "pipeline.layers"},
                     fmt::format("pipeline.stages = {}, and pipeline.layers has the layers of {}",
                                 pipeline.stages, named),
                     "leave one of them out"};
  }
  const std::int64_t sum = layers_in_all(pipeline.layers);
  if (sum != job.model.num_hidden_layers) {
    return Complaint{{"pipeline.layers", "model.num_hidden_layers"},
                     fmt::format("adds up to {}, but model.num_hidden_layers = {}", sum,
                                 job.model.num_hidden_layers),
                     "give the number of layers of each stage, or leave pipeline.layers out"};
  }
  if (pipeline.cut != CutBetween::layers) {
    return Complaint{
        {"pipeline.cut"}, "pipeline.layers says already where to cut", "leave one of the two out"};
  }
  return std::nullopt;
}

}  // namespace

void derive(ModelConfig& model) {
  const std::int64_t heads = model.num_attention_heads;
  if (model.num_key_value_heads == 0) model.num_key_value_heads = heads;
  if (model.head_dim == 0 && model.hidden_size % heads == 0) {
    model.head_dim = model.hidden_size / heads;
  }
}

void derive(Job& job) {
  derive(job.model);
  if (job.model.max_position_embeddings == 0) {
    job.model.max_position_embeddings = job.data.seq_len;
  }
  job.wire_forward = wire_codec(job.wire_forward, job.precision);
  job.wire_backward = wire_codec(job.wire_backward, job.precision);
}

std::optional<Complaint> check(const ModelConfig& model) {
  if (model.head_dim == 0) {
    return Complaint{{"model.hidden_size", "model.num_attention_heads"},
                     fmt::format("must be a multiple of model.num_attention_heads = {}",
                                 model.num_attention_heads),
                     "change one of them, or give model.head_dim"};
  }
  if (model.head_dim % 2 != 0) {
    return Complaint{{"model.head_dim", "model.num_attention_heads", "model.hidden_size"},
                     fmt::format("a head has {} dimensions: must be even", model.head_dim),
                     "rotary embeddings turn pairs of dimensions"};
  }
  if (model.head_dim > kMaxHeadDim) {
    return Complaint{
        {"model.head_dim", "model.num_attention_heads", "model.hidden_size"},
        fmt::format("a head has {} dimensions: must be at most {}", model.head_dim, kMaxHeadDim),
        "use more heads"};
  }
  if (model.num_attention_heads % model.num_key_value_heads != 0) {
    return Complaint{
        {"model.num_key_value_heads", "model.num_attention_heads"},
        fmt::format("must divide model.num_attention_heads = {}", model.num_attention_heads),
        "each key and value head serves equally many query heads"};
  }
  return std::nullopt;
}

std::optional<Complaint> check(const Job& job) {
  if (auto complaint = check(job.model)) return complaint;
  if (auto complaint = check_batch(job)) return complaint;
  if (auto complaint = check_run(job)) return complaint;
  return check_pipeline(job);
}

}  // namespace ptrain::job
