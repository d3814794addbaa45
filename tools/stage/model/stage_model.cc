#include "tools/stage/model/stage_model.h"

#include <algorithm>
#include <optional>
#include <span>
#include <utility>
#include <variant>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/job/keyed_random.h"
#include "tools/stage/model/activations.h"
#include "tools/stage/model/attention_block.h"
#include "tools/stage/model/head.h"
#include "tools/stage/model/mlp_block.h"
#include "tools/stage/model/ops.h"
#include "tools/stage/model/parameter_store.h"
#include "tools/stage/model/rope_table.h"

namespace ptrain::stage {
namespace {

std::string describe(const at::Tensor& x) {
  if (!x.defined()) return "no tensor";
  std::string text = std::string(at::toString(x.scalar_type())) + " [";
  for (const std::int64_t size : x.sizes()) text += fmt::format(" {}", size);
  return text + " ]";
}

void require(bool holds, const std::string& what) {
  if (!holds) throw Error(ErrorKind::internal, "stage model: " + what);
}

}  // namespace

struct StageModel::State {
  job::ModelConfig config;
  job::StageSpan span;
  ModelOptions options;
  std::unique_ptr<Ops> ops;
  ParameterStore store;
  std::vector<std::variant<AttentionWeights, MlpWeights>> blocks;
  std::optional<Weight> embedding;
  std::optional<Weight> final_norm;
  std::optional<Weight> projection;
  at::Tensor tied_gradient;              // the head's share, where it has the embedding's weights
  std::optional<LaneMemory> tied_lanes;  // its
  RopeTable rope;
  std::vector<std::unique_ptr<Slot>> slots;
  std::optional<Workspace> workspace;

  State(const job::ModelConfig& model, const job::StageSpan& part, const ModelOptions& chosen,
        std::unique_ptr<Ops> arithmetic)
      : config(model),
        span(part),
        options(chosen),
        ops(std::move(arithmetic)),
        store(job::parameters(model, part), *ops, chosen.lanes) {
    std::size_t next = 0;
    if (span.embedding) embedding = store.weight(next++);
    for (std::int64_t block = span.block_begin(); block < span.block_end(); ++block) {
      if (job::is_attention(block)) {
        blocks.emplace_back(AttentionWeights(store, next));
        next += AttentionWeights::kParameters;
      } else {
        blocks.emplace_back(MlpWeights(store, next));
        next += MlpWeights::kParameters;
      }
    }
    if (!span.head) return;
    final_norm = store.weight(next++);
    if (config.tie_word_embeddings && span.embedding) {
      tied_gradient = at::zeros_like(embedding->grad);
      tied_lanes.emplace(tied_gradient, chosen.lanes);
      projection = Weight{embedding->value, tied_gradient};
    } else {
      projection = store.weight(next);
    }
  }

  StageShape shape(std::int64_t batch, std::int64_t tokens) const {
    const LayerShape layer_shape(config, batch, tokens);
    return {
        .layer = layer_shape,
        .span = span,
        .vocab = config.vocab_size,
        .logits_rows = logits_rows(layer_shape.rows(), config.vocab_size, ops->master().device()),
        .compute = ops->compute(),
        .master = ops->master()};
  }

  // Ready for microbatches of this shape.
  Workspace& prepare(std::int64_t batch, std::int64_t tokens) {
    if (!rope.cosine.defined() || rope.cosine.size(0) < tokens) {
      rope = make_rope_table(config, tokens, ops->master());
    }
    const bool fits = workspace && workspace->shape.attention.batch == batch &&
                      workspace->shape.attention.tokens == tokens;
    if (!fits) workspace.emplace(shape(batch, tokens));
    return *workspace;
  }

  Slot& slot(std::uint32_t index) {
    if (slots.size() <= index) slots.resize(index + 1);
    if (!slots[index]) {
      slots[index] =
          std::make_unique<Slot>(shape(options.micro_batch, options.seq_len), options.recompute);
    }
    return *slots[index];
  }

  // work(block): block `index` bound to what it computes with. Its activations are the slot's, or
  // without a slot, or one that keeps none, the workspace's.
  template <class Work>
  void with_block(std::size_t index, Slot* slot, const Work& work) {
    Workspace& w = *workspace;
    const bool kept = slot != nullptr && !slot->blocks.empty();
    if (const auto* weights = std::get_if<AttentionWeights>(&blocks[index])) {
      work(AttentionBlock{
          .ops = *ops,
          .shape = w.shape,
          .rope = rope,
          .weights = *weights,
          .kept = kept ? std::get<AttentionActivations>(slot->blocks[index]) : w.attention,
          .gradients = w.d_attention,
          .scratch = w.scratch});
      return;
    }
    work(MlpBlock{.ops = *ops,
                  .shape = w.shape,
                  .weights = std::get<MlpWeights>(blocks[index]),
                  .kept = kept ? std::get<MlpActivations>(slot->blocks[index]) : w.mlp,
                  .gradients = w.d_mlp,
                  .scratch = w.scratch});
  }

  void after_part(plan::BlockKind kind, Phase phase) const {
    if (options.after_part) options.after_part(kind, phase);
  }
  plan::BlockKind kind_of(std::size_t index) const {
    return is_mlp(index) ? plan::BlockKind::mlp : plan::BlockKind::attention;
  }

  // Through block `index` and the border behind it, if that is one inside the stage.
  void forward(std::size_t index, Slot* slot, const at::Tensor& x, const at::Tensor& y) {
    with_block(index, slot, [&](auto block) { block.forward(x, y); });
    if (is_border_before(index + 1)) options.borders.forward(y);
  }

  bool is_border_before(std::size_t index) const {
    if (index == 0 || index == blocks.size()) return false;
    const std::int64_t block = span.block_begin() + static_cast<std::int64_t>(index);
    return std::ranges::find(options.borders.before_blocks, block) !=
           options.borders.before_blocks.end();
  }

  bool is_mlp(std::size_t index) const { return std::holds_alternative<MlpWeights>(blocks[index]); }

  // Where the input of a block is, or, after the last one, the output: in the slot, unless that
  // keeps another thing or nothing in its place.
  const at::Tensor& place(const Slot& slot, std::size_t index) const {
    if (index == blocks.size()) return span.head ? workspace->hidden[0] : slot.output;
    return slot.inputs[index].defined() ? slot.inputs[index] : workspace->hidden[1];
  }

  Head head() {
    return {.ops = *ops,
            .norm = *final_norm,
            .projection = *projection,
            .eps = config.rms_norm_eps,
            .scratch = *workspace->head};
  }

  void check_tokens(const at::Tensor& tokens, const char* what) const {
    require(tokens.defined() && tokens.dim() == 2 && tokens.scalar_type() == at::kInt &&
                tokens.is_contiguous(),
            fmt::format("{} must be int32 [b, t], not {}", what, describe(tokens)));
    if (!tokens.is_cpu()) return;
    const auto* ids = tokens.data_ptr<std::int32_t>();
    for (std::int64_t i = 0; i < tokens.numel(); ++i) {
      if (ids[i] >= 0 && ids[i] < config.vocab_size) continue;
      throw Error(
          ErrorKind::corrupt,
          fmt::format("token {} at position {} of the microbatch's {}; the vocabulary has {}",
                      ids[i], i, what, config.vocab_size),
          "encode the data with the tokenizer that the model's vocab_size belongs to");
    }
  }

  void check_hidden(const at::Tensor& x, const char* what) const {
    require(x.defined() && x.dim() == 3 && x.size(2) == config.hidden_size &&
                x.dtype() == ops->compute().dtype() && x.is_contiguous(),
            fmt::format("{} must be {} [b, t, {}], not {}", what,
                        at::toString(at::typeMetaToScalarType(ops->compute().dtype())),
                        config.hidden_size, describe(x)));
  }

  void check_input(const at::Tensor& input) const {
    if (span.embedding) return check_tokens(input, "input");
    check_hidden(input, "input");
  }

  // Runs all blocks of a microbatch whose activations are kept. Returns the output.
  at::Tensor forward(Slot& slot, const at::Tensor& input) {
    check_input(input);
    require(input.size(0) == options.micro_batch && input.size(1) == options.seq_len,
            fmt::format("a microbatch has {} sequences of {} tokens, not {}", options.micro_batch,
                        options.seq_len, describe(input)));
    require(!slot.taken, "forward into a slot whose backward has not run");
    slot.taken = true;
    prepare(options.micro_batch, options.seq_len);
    at::Tensor x = place(slot, 0);
    if (embedding) {
      slot.tokens = input;
      ops->embedding(input, embedding->value, x);
      after_part(plan::BlockKind::embedding, Phase::forward);
    } else {
      x = input.view({-1, config.hidden_size});
      if (!blocks.empty()) slot.inputs[0] = x;
    }
    for (std::size_t i = 0; i < blocks.size(); ++i) {
      const at::Tensor& y = place(slot, i + 1);
      forward(i, &slot, x, y);
      after_part(kind_of(i), Phase::forward);
      x = y;
    }
    return x;
  }

  // Runs all blocks and keeps nothing; the result is valid until the next microbatch.
  at::Tensor infer(const at::Tensor& input) {
    check_input(input);
    Workspace& w = prepare(input.size(0), input.size(1));
    at::Tensor x = w.hidden[0];
    if (embedding) {
      ops->embedding(input, embedding->value, x);
    } else {
      x = input.view({-1, config.hidden_size});
    }
    for (std::size_t i = 0; i < blocks.size(); ++i) {
      const at::Tensor& y = w.hidden[(i + 1) % 2];
      forward(i, nullptr, x, y);
      x = y;
    }
    return x;
  }

  // Fills the workspace with what the backward of block `index` reads, where the slot keeps none.
  // A layer that is here with both of its blocks is computed again from its input, by the first
  // of them on the way back.
  void recompute(std::size_t index, const Slot& slot) {
    const bool whole_layer = is_mlp(index) ? index > 0 : index + 1 < blocks.size();
    if (whole_layer && !is_mlp(index)) return;
    if (whole_layer) forward(index - 1, nullptr, place(slot, index - 1), place(slot, index));
    with_block(index, nullptr, [&](auto block) { block.recompute(place(slot, index)); });
  }

  at::Tensor backward(Slot& slot, const at::Tensor& grad_output) {
    require(slot.taken, "backward of a slot without a forward");
    slot.taken = false;
    prepare(options.micro_batch, options.seq_len);
    at::Tensor dy = slot.output;  // the head's
    if (!span.head) {
      check_hidden(grad_output, "the gradient");
      dy = grad_output.view({-1, config.hidden_size});
    }
    for (std::size_t i = blocks.size(); i-- > 0;) {
      if (is_border_before(i + 1)) options.borders.backward(dy);
      if (slot.blocks.empty()) recompute(i, slot);
      // In turn, so that no block overwrites what its weight gradient reads, and the stage's own is
      // in the slot at last.
      const at::Tensor dx = i % 2 == 0 ? slot.gradient : workspace->gradient;
      with_block(i, &slot, [&](auto block) {
        block.input_gradient(place(slot, i), dy, dx);
        after_part(kind_of(i), Phase::input_gradient);
        block.weight_gradient(place(slot, i), dy);
        after_part(kind_of(i), Phase::weight_gradient);
      });
      dy = dx;
    }
    if (!embedding) return dy.view({options.micro_batch, options.seq_len, config.hidden_size});
    ops->embedding_backward(slot.tokens, dy, embedding->grad);
    after_part(plan::BlockKind::embedding, Phase::weight_gradient);
    return {};
  }
};

StageModel::StageModel(const job::ModelConfig& config, const job::StageSpan& span,
                       const ModelOptions& options)
    : StageModel(config, span, options, make_ops(options.device, options.precision)) {}

StageModel::StageModel(const job::ModelConfig& config, const job::StageSpan& span,
                       const ModelOptions& options, std::unique_ptr<Ops> ops)
    : state_(std::make_unique<State>(config, span, options, std::move(ops))) {}

StageModel::~StageModel() = default;

const job::ModelConfig& StageModel::config() const { return state_->config; }
const job::StageSpan& StageModel::span() const { return state_->span; }
const ModelOptions& StageModel::options() const { return state_->options; }

std::vector<Parameter>& StageModel::parameters() { return state_->store.parameters(); }

void StageModel::initialise(std::uint64_t seed) {
  for (Parameter& parameter : parameters()) {
    if (parameter.spec.shape.size() == 1) {
      parameter.value.fill_(1.0);
      continue;
    }
    const at::Tensor normal = at::empty(parameter.spec.shape, at::kFloat);
    job::fill_normal(std::span(normal.data_ptr<float>(), static_cast<std::size_t>(normal.numel())),
                     seed, parameter.spec.name, config().initializer_range);
    parameter.value.copy_(normal);
  }
  refresh_compute();
}

void StageModel::refresh_compute() { state_->store.refresh_compute(*state_->ops); }

void StageModel::zero_gradients() {
  for (std::size_t lane = options().lanes; lane-- > 0;) {
    select_lane(lane);
    state_->store.zero_gradients();
    if (state_->tied_gradient.defined()) state_->tied_gradient.zero_();
  }
}

void StageModel::select_lane(std::size_t lane) {
  require(lane < options().lanes, "a lane that is not there");
  state_->store.select_lane(lane);
  if (state_->tied_lanes) state_->tied_lanes->select(lane);
}

at::Tensor StageModel::flat_gradient() const { return state_->store.flat_gradient(); }

void StageModel::finish_gradients() {
  if (!state_->tied_gradient.defined()) return;
  state_->embedding->grad.add_(state_->tied_gradient);
  state_->tied_gradient.zero_();
}

at::Tensor StageModel::forward(std::uint32_t slot, const at::Tensor& input) {
  require(!span().head, "forward on the last stage, which has forward_loss");
  const at::Tensor output = state_->forward(state_->slot(slot), input);
  return output.view({options().micro_batch, options().seq_len, config().hidden_size});
}

double StageModel::forward_loss(std::uint32_t slot, const at::Tensor& input,
                                const at::Tensor& targets) {
  require(span().head, "forward_loss on a stage without the head");
  state_->check_tokens(targets, "targets");
  Slot& kept = state_->slot(slot);
  const at::Tensor output = state_->forward(kept, input);
  const double loss =
      state_->head().loss_and_gradient(output, targets.view(-1), options().loss_scale, kept.output);
  state_->after_part(plan::BlockKind::head, Phase::forward);
  return loss;
}

at::Tensor StageModel::backward(std::uint32_t slot, const at::Tensor& grad_output) {
  return state_->backward(state_->slot(slot), grad_output);
}

void StageModel::keep_slots(std::size_t count) {
  auto& slots = state_->slots;
  for (std::size_t i = count; i < slots.size(); ++i) {
    require(!slots[i] || !slots[i]->taken, "a slot is freed whose backward has not run");
  }
  if (slots.size() > count) slots.resize(count);
}

std::size_t StageModel::slots_held() const {
  return static_cast<std::size_t>(
      std::ranges::count_if(state_->slots, [](const auto& slot) { return slot != nullptr; }));
}

at::Tensor StageModel::infer(const at::Tensor& input) {
  require(!span().head, "infer on the last stage, which has evaluate and logits");
  return state_->infer(input).view({input.size(0), input.size(1), config().hidden_size});
}

double StageModel::evaluate(const at::Tensor& input, const at::Tensor& targets) {
  require(span().head, "evaluate on a stage without the head");
  state_->check_tokens(targets, "targets");
  const at::Tensor hidden = state_->infer(input);
  return state_->head().loss(hidden, targets.view(-1));
}

at::Tensor StageModel::logits(const at::Tensor& input) {
  require(span().head, "logits on a stage without the head");
  const at::Tensor hidden = state_->infer(input);
  return state_->head().logits(hidden).view({input.size(0), input.size(1), config().vocab_size});
}

ByteCount StageModel::activation_bytes(std::uint32_t in_flight) const {
  StageShape shape = state_->shape(options().micro_batch, options().seq_len);
  shape.compute = shape.compute.device(at::kMeta);
  shape.master = shape.master.device(at::kMeta);
  const std::int64_t bytes = in_flight * Slot(shape, options().recompute).bytes() +
                             Workspace(shape).bytes() +
                             state_->ops->scratch_bytes(shape.layer.attention);
  return ByteCount(static_cast<std::uint64_t>(bytes));
}

}  // namespace ptrain::stage
