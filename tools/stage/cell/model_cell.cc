#include "tools/stage/cell/model_cell.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "libcommon/base/error.h"
#include "tools/stage/cell/await_device.h"
#include "tools/stage/cell/tensor_bytes.h"
#include "tools/stage/optim/gradient_norm.h"

namespace ptrain::stage {
namespace {

wire::DType wire_dtype(at::ScalarType dtype) {
  return dtype == at::kBFloat16 ? wire::DType::bfloat16 : wire::DType::float32;
}

// What crosses before a block: where borders are declared, and it is none of them, nothing is lost.
job::WireCodec codec_before(const job::Job& job, std::int64_t block, job::WireCodec codec) {
  const auto borders = job::first_blocks(job.pipeline.borders);
  const bool acts = borders.empty() || std::ranges::find(borders, block) != borders.end();
  return acts ? codec : job::wire_codec(job::WireCodec::exact, job.precision);
}

ModelOptions model_options(const job::Job& job, at::Device device, std::size_t lanes,
                           InnerBorders borders) {
  return {.precision = job.precision,
          .recompute = job.train.recompute,
          .device = device,
          .micro_batch = job.batch.micro,
          .seq_len = job.data.seq_len,
          .loss_scale = 1.0 / static_cast<double>(job.tokens_per_step()),
          .lanes = lanes,
          .borders = std::move(borders)};
}

}  // namespace

ModelCell::ModelCell(const job::Job& job, const job::StageSpan& span, std::vector<LaneIndex> lanes,
                     const JobData* data, at::Device device)
    : job_(job),
      data_(data),
      model_(job.model, span, model_options(job, device, lanes.size(), inner_borders())),
      optimiser_(make_optimiser(job, model_.parameters())),
      dtype_(job.precision == job::ComputePrecision::bfloat16 ? at::kBFloat16 : at::kFloat),
      shape_{job.batch.micro, job.data.seq_len, job.model.hidden_size},
      forward_codec_(make_wire_codec(job.wire_forward)),
      backward_codec_(make_wire_codec(job.wire_backward)),
      begin_{make_wire_codec(codec_before(job, span.block_begin(), job.wire_forward)),
             make_wire_codec(codec_before(job, span.block_begin(), job.wire_backward))},
      end_{make_wire_codec(codec_before(job, span.block_end(), job.wire_forward)),
           make_wire_codec(codec_before(job, span.block_end(), job.wire_backward))},
      tied_codec_(make_wire_codec(job::WireCodec::fp32)),
      lanes_(std::move(lanes)),
      loss_sums_(lanes_.size()) {}

// They use the codecs, which exist by the time of a microbatch.
InnerBorders ModelCell::inner_borders() {
  return {.before_blocks = job::first_blocks(job_.pipeline.borders),
          .forward = [this](const at::Tensor& rows) { cross(*forward_codec_, rows); },
          .backward = [this](const at::Tensor& rows) { cross(*backward_codec_, rows); }};
}

// As between two processes: encoded, and decoded again.
void ModelCell::cross(const WireCodec& codec, const at::Tensor& rows) const {
  at::Tensor host = rows.to(at::kCPU).contiguous();
  const std::vector<std::byte> bytes = codec.encoded(host);
  codec.decode(bytes, host);
  if (!host.is_same(rows)) rows.copy_(host);
}

std::uint64_t ModelCell::parameters() {
  std::uint64_t count = 0;
  for (const Parameter& parameter : model_.parameters()) {
    count += static_cast<std::uint64_t>(parameter.value.numel());
  }
  return count;
}

void ModelCell::initialise() { model_.initialise(job_.train.seed); }

void ModelCell::load(const ckpt::CheckpointReader& checkpoint, Step step) {
  for_each_tensor(
      [&](const std::string& name, at::Tensor& tensor) { check_tensor(checkpoint, name, tensor); });
  load([&](const std::string& name, std::span<std::byte> into) { checkpoint.read(name, into); },
       step);
}

void ModelCell::load(const TensorSource& source, Step step) {
  for_each_tensor([&](const std::string& name, at::Tensor& tensor) {
    at::Tensor host = at::empty(tensor.sizes(), at::kFloat);
    source(name, tensor_bytes(host));
    tensor.copy_(host);
  });
  model_.refresh_compute();
  optimiser_->set_updates(step.value());
}

void ModelCell::for_each_tensor(const std::function<void(const std::string&, at::Tensor&)>& visit) {
  std::vector<Parameter>& parameters = model_.parameters();
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const std::string& name = parameters[i].spec.name;
    visit(name, parameters[i].value);
    for (OptimiserState& state : optimiser_->state(i)) visit(name + state.suffix, state.tensor);
  }
}

StateTensors ModelCell::state() {
  const std::vector<Parameter>& parameters = model_.parameters();
  // The tensors themselves, or copies where they lie on a device.
  auto host = std::make_shared<std::vector<at::Tensor>>();
  const auto view = [&](const std::string& name, const at::Tensor& tensor) {
    host->push_back(tensor.to(at::kCPU).contiguous());
    return tensor_view(name, host->back());
  };
  StateTensors state;
  for (const Parameter& parameter : parameters) {
    state.model.push_back(view(parameter.spec.name, parameter.value));
  }
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const std::string& name = parameters[i].spec.name;
    for (const OptimiserState& each : optimiser_->state(i)) {
      state.optim.push_back(view(name + each.suffix, each.tensor));
    }
  }
  state.owner = std::move(host);
  return state;
}

void ModelCell::begin_step(Step) {
  model_.zero_gradients();
  std::fill(loss_sums_.begin(), loss_sums_.end(), 0.0);
  model_.keep_slots(slots_.size());  // as many as the step before needed: later ones may need fewer
  slots_.clear();
}

std::optional<Rows> ModelCell::forward(const Work& work, const wire::Message* activation) {
  TokenBatch tokens;
  if (data_ != nullptr) {
    tokens = token_batch(data_->training(), data_->windows(work.step, work.microbatch),
                         model_.options().device);
  }
  const at::Tensor input =
      embeds() ? tokens.inputs : decoded(*activation, *begin_.forward, dtype_, shape_);
  const std::uint32_t slot = take_slot(work.microbatch);
  if (predicts()) {
    const std::size_t lane = place_of(work.lane);
    model_.select_lane(lane);  // the head's gradient comes with its loss
    loss_sums_[lane] += model_.forward_loss(slot, input, tokens.targets);
    return std::nullopt;
  }
  const at::Tensor hidden = model_.forward(slot, input);
  await_device(model_.options().device);
  return encoded(*end_.forward, hidden);
}

std::optional<Rows> ModelCell::backward(const Work& work, const wire::Message* gradient) {
  at::Tensor output;  // the gradient of our output
  if (!predicts()) output = decoded(*gradient, *end_.backward, dtype_, shape_);
  const std::uint32_t slot = slot_of(work.microbatch);
  model_.select_lane(place_of(work.lane));
  const at::Tensor input = model_.backward(slot, output);
  await_device(model_.options().device);
  slots_[slot].reset();
  if (embeds()) return std::nullopt;
  return encoded(*begin_.backward, input);
}

std::optional<Rows> ModelCell::finish_gradients(LaneIndex lane) {
  model_.select_lane(place_of(lane));
  model_.finish_gradients();
  if (!shares_tied_tensor()) return std::nullopt;
  return encoded(*tied_codec_, tied_tensor().grad);
}

void ModelCell::add_tied_gradient(LaneIndex lane, const wire::Message& theirs) {
  model_.select_lane(place_of(lane));
  Parameter& tied = tied_tensor();
  tied.grad.add_(decoded(theirs, *tied_codec_, at::kFloat, tied.grad.sizes()));
}

std::vector<LaneGradient> ModelCell::gradients() {
  std::vector<LaneGradient> gradients;
  for (std::size_t i = 0; i < lanes_.size(); ++i) {
    model_.select_lane(i);
    host_.push_back(model_.flat_gradient().to(at::kCPU));
    float* const first = host_.back().data_ptr<float>();
    gradients.push_back({lanes_[i], {first, static_cast<std::size_t>(host_.back().numel())}});
  }
  return gradients;
}

void ModelCell::gradients_summed() {
  model_.select_lane(0);
  if (!model_.options().device.is_cpu()) model_.flat_gradient().copy_(host_.front());
  host_.clear();
}

Readiness ModelCell::ready() {
  model_.select_lane(0);
  Readiness readiness{.loss_sums = loss_sums_,
                      .gradient_squares = gradient_squares(model_.parameters())};
  // The embedding that a last stage holds for its tied head is the first stage's to count.
  if (shares_tied_tensor() && predicts()) readiness.gradient_squares.pop_back();
  return readiness;
}

void ModelCell::apply(double learning_rate, double clip_factor) {
  model_.select_lane(0);
  optimiser_->step(model_.parameters(), learning_rate, clip_factor);
  await_device(model_.options().device);
}

void ModelCell::begin_evaluation() { eval_ = {}; }

std::optional<Rows> ModelCell::evaluate(std::uint32_t batch, const wire::Message* activation) {
  TokenBatch tokens;
  if (data_ != nullptr) {
    tokens =
        token_batch(data_->validation(), data_->validation_windows(batch), model_.options().device);
  }
  const at::Tensor input =
      embeds() ? tokens.inputs : decoded(*activation, *begin_.forward, dtype_, shape_);
  if (!predicts()) return encoded(*end_.forward, model_.infer(input));
  eval_.loss_sum += model_.evaluate(input, tokens.targets);
  eval_.tokens += static_cast<std::uint64_t>(tokens.targets.numel());
  return std::nullopt;
}

wire::EvalReport ModelCell::evaluated() { return eval_; }

// Embedding and head are one tensor, and another stage holds the other of the two.
bool ModelCell::shares_tied_tensor() const {
  return job_.model.tie_word_embeddings && embeds() != predicts();
}

std::size_t ModelCell::place_of(LaneIndex lane) const {
  return static_cast<std::size_t>(std::find(lanes_.begin(), lanes_.end(), lane) - lanes_.begin());
}

Parameter& ModelCell::tied_tensor() {
  return embeds() ? model_.parameters().front() : model_.parameters().back();
}

std::uint32_t ModelCell::take_slot(MicrobatchIndex microbatch) {
  const auto free = std::find(slots_.begin(), slots_.end(), std::nullopt);
  const auto slot = static_cast<std::uint32_t>(free - slots_.begin());
  if (free == slots_.end()) slots_.emplace_back();
  slots_[slot] = microbatch;
  return slot;
}

std::uint32_t ModelCell::slot_of(MicrobatchIndex microbatch) {
  const auto taken = std::find(slots_.begin(), slots_.end(), microbatch);
  if (taken == slots_.end()) {
    throw Error(ErrorKind::internal,
                fmt::format("backward of microbatch {} without its forward", microbatch.value()));
  }
  return static_cast<std::uint32_t>(taken - slots_.begin());
}

Rows ModelCell::encoded(const WireCodec& codec, const at::Tensor& tensor) const {
  const at::Tensor source = tensor.to(at::kCPU).contiguous();
  wire::MutableBuffer payload(codec.encoded_size(source.numel()).value());
  codec.encode(source, payload.bytes());
  return {.tensor = {.dtype = wire_dtype(source.scalar_type()),
                     .shape = source.sizes().vec(),
                     .codec = std::string(codec.name())},
          .payload = std::move(payload).freeze()};
}

at::Tensor ModelCell::decoded(const wire::Message& message, const WireCodec& codec,
                              at::ScalarType dtype, at::IntArrayRef largest) const {
  const at::IntArrayRef shape(message.tensor.shape);
  // Only the last batch of an evaluation is smaller than a microbatch.
  const bool smaller_batch = message.name.kind == wire::MessageKind::eval_activation &&
                             shape.size() == largest.size() && shape[0] >= 1 &&
                             shape[0] <= largest[0] && shape.slice(1).equals(largest.slice(1));
  if ((!smaller_batch && !shape.equals(largest)) || message.tensor.codec != codec.name()) {
    throw Error(ErrorKind::corrupt,
                fmt::format("{}: shape [{}] in codec \"{}\", expected [{}] in \"{}\"",
                            wire::to_string(message.name), fmt::join(shape, ", "),
                            message.tensor.codec, fmt::join(largest, ", "), codec.name()));
  }
  at::Tensor tensor = at::empty(shape, dtype);
  codec.decode(message.payload.bytes(), tensor);
  return tensor.to(model_.options().device);
}

// CUDA computes behind the caller: without this its time would be that of whoever next asks for
// a result. Costs little there, because mostly the result is sent right after, and nothing on
// the CPU.

}  // namespace ptrain::stage
