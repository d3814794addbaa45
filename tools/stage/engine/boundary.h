// The border between this stage and its neighbours: activations go to the next stage,
// their gradients to the previous one, each through the job's wire codec, and every
// encoded byte is counted. Borrows the mailbox. One thread.

#pragma once

#include <memory>

#include <ATen/ATen.h>

#include "libcommon/job/job.h"
#include "tools/stage/codec/wire_codec.h"
#include "tools/stage/engine/mailbox.h"

namespace ptrain::stage {

// Encoded bytes sent since the start, by direction.
struct BoundaryTraffic {
  ByteCount forward;   // activations
  ByteCount backward;  // gradients
  ByteCount tied;      // a tied head's gradient, both directions
};

class Boundary {
 public:
  Boundary(Mailbox& mailbox, const job::Job& job, at::Device device);

  // `hidden` is [b, t, d] in the compute dtype, as is what the receive functions return.
  void send_activation(Step step, MicrobatchIndex microbatch, const at::Tensor& hidden);
  void send_gradient(Step step, MicrobatchIndex microbatch, const at::Tensor& gradient);
  at::Tensor receive_activation(Step step, MicrobatchIndex microbatch);
  at::Tensor receive_gradient(Step step, MicrobatchIndex microbatch);

  // The same for an evaluation, whose batches nobody answers: the sender waits while
  // kEvalQueue is queued.
  void send_eval_activation(Step step, std::uint32_t batch, const at::Tensor& hidden);
  at::Tensor receive_eval_activation(Step step, std::uint32_t batch);

  // Sends our share of a tied embedding's gradient, float32, to the stage that holds the
  // other copy, and returns theirs.
  at::Tensor exchange_tied_gradient(Step step, StageIndex other, const at::Tensor& gradient);

  const BoundaryTraffic& traffic() const { return traffic_; }

 private:
  ByteCount send(StageIndex to, wire::MessageKind kind, Step step, MicrobatchIndex microbatch,
                 const WireCodec& codec, const at::Tensor& tensor);
  at::Tensor decode(const wire::Message& message, const WireCodec& codec, at::ScalarType dtype,
                    at::IntArrayRef largest) const;
  StageIndex previous() const { return StageIndex(mailbox_.self().value() - 1); }
  StageIndex next() const { return StageIndex(mailbox_.self().value() + 1); }

  Mailbox& mailbox_;
  at::Device device_;
  at::ScalarType dtype_;
  std::vector<std::int64_t> shape_;  // [micro, seq_len, hidden_size]
  std::unique_ptr<WireCodec> forward_codec_;
  std::unique_ptr<WireCodec> backward_codec_;
  std::unique_ptr<WireCodec> tied_codec_;
  BoundaryTraffic traffic_;
};

}  // namespace ptrain::stage
