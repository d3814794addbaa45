#include "tools/stage/engine/boundary.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "libcommon/base/error.h"

namespace ptrain::stage {
namespace {

constexpr ByteCount kEvalQueue{64u << 20};

wire::DType wire_dtype(at::ScalarType dtype) {
  return dtype == at::kBFloat16 ? wire::DType::bfloat16 : wire::DType::float32;
}

ByteCount& operator+=(ByteCount& total, ByteCount more) {
  return total = ByteCount(total.value() + more.value());
}

}  // namespace

Boundary::Boundary(Mailbox& mailbox, const job::Job& job, at::Device device)
    : mailbox_(mailbox),
      device_(device),
      dtype_(job.precision == job::ComputePrecision::bfloat16 ? at::kBFloat16 : at::kFloat),
      shape_{job.batch.micro, job.data.seq_len, job.model.hidden_size},
      forward_codec_(make_wire_codec(job.wire_forward)),
      backward_codec_(make_wire_codec(job.wire_backward)),
      tied_codec_(make_wire_codec(job::WireCodec::fp32)) {}

void Boundary::send_activation(Step step, MicrobatchIndex microbatch, const at::Tensor& hidden) {
  traffic_.forward +=
      send(next(), wire::MessageKind::activation, step, microbatch, *forward_codec_, hidden);
}

void Boundary::send_gradient(Step step, MicrobatchIndex microbatch, const at::Tensor& gradient) {
  traffic_.backward +=
      send(previous(), wire::MessageKind::gradient, step, microbatch, *backward_codec_, gradient);
}

at::Tensor Boundary::receive_activation(Step step, MicrobatchIndex microbatch) {
  return decode(mailbox_.await(wire::MessageKind::activation, step, microbatch, previous()),
                *forward_codec_, dtype_, shape_);
}

at::Tensor Boundary::receive_gradient(Step step, MicrobatchIndex microbatch) {
  return decode(mailbox_.await(wire::MessageKind::gradient, step, microbatch, next()),
                *backward_codec_, dtype_, shape_);
}

void Boundary::send_eval_activation(Step step, std::uint32_t batch, const at::Tensor& hidden) {
  mailbox_.await_queue(next(), kEvalQueue);
  send(next(), wire::MessageKind::eval_activation, step, MicrobatchIndex(batch), *forward_codec_,
       hidden);
}

at::Tensor Boundary::receive_eval_activation(Step step, std::uint32_t batch) {
  return decode(
      mailbox_.await(wire::MessageKind::eval_activation, step, MicrobatchIndex(batch), previous()),
      *forward_codec_, dtype_, shape_);
}

at::Tensor Boundary::exchange_tied_gradient(Step step, StageIndex other,
                                            const at::Tensor& gradient) {
  const MicrobatchIndex none(0);
  traffic_.tied +=
      send(other, wire::MessageKind::tied_gradient, step, none, *tied_codec_, gradient);
  const wire::Message theirs = mailbox_.await(wire::MessageKind::tied_gradient, step, none, other);
  traffic_.tied += ByteCount(theirs.payload.size());
  return decode(theirs, *tied_codec_, at::kFloat, gradient.sizes());
}

ByteCount Boundary::send(StageIndex to, wire::MessageKind kind, Step step,
                         MicrobatchIndex microbatch, const WireCodec& codec,
                         const at::Tensor& tensor) {
  const at::Tensor source = tensor.to(at::kCPU).contiguous();
  const ByteCount size = codec.encoded_size(source.numel());
  wire::MutableBuffer payload(size.value());
  codec.encode(source, payload.bytes());
  mailbox_.send(to, kind, step, microbatch,
                {.dtype = wire_dtype(source.scalar_type()),
                 .shape = source.sizes().vec(),
                 .codec = std::string(codec.name())},
                std::move(payload).freeze());
  return size;
}

at::Tensor Boundary::decode(const wire::Message& message, const WireCodec& codec,
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
  return tensor.to(device_);
}

}  // namespace ptrain::stage
