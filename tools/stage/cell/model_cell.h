// The state and arithmetic of one stage of a Llama-family model: a StageModel, its optimiser, the
// tokens where the stage has any, and the job's wire codecs at its borders. Borrows the data.

#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include "libcommon/job/job.h"
#include "tools/stage/cell/token_batch.h"
#include "tools/stage/codec/wire_codec.h"
#include "tools/stage/engine/cell_state.h"
#include "tools/stage/engine/job_data.h"
#include "tools/stage/model/stage_model.h"
#include "tools/stage/optim/optimiser.h"

namespace ptrain::stage {

class ModelCell : public CellState {
 public:
  // `data` is null where the stage neither embeds nor predicts. `lanes` in ascending order.
  ModelCell(const job::Job& job, const job::StageSpan& span, std::vector<LaneIndex> lanes,
            const JobData* data, at::Device device);

  const StageModel& model() const { return model_; }
  // Of all tensors.
  std::uint64_t parameters();

  void initialise() override;
  void load(const ckpt::CheckpointReader& checkpoint, Step step) override;
  void load(const TensorSource& source, Step step) override;
  StateTensors state() override;

  void begin_step(Step step) override;
  std::optional<Rows> forward(const Work& work, const wire::Message* activation) override;
  std::optional<Rows> backward(const Work& work, const wire::Message* gradient) override;
  std::optional<Rows> finish_gradients(LaneIndex lane) override;
  void add_tied_gradient(LaneIndex lane, const wire::Message& theirs) override;
  std::vector<LaneGradient> gradients() override;
  void gradients_summed() override;
  Readiness ready() override;
  void apply(double learning_rate, double clip_factor) override;

  void begin_evaluation() override;
  std::optional<Rows> evaluate(std::uint32_t batch, const wire::Message* activation) override;
  wire::EvalReport evaluated() override;

 private:
  bool embeds() const { return model_.span().embedding; }
  bool predicts() const { return model_.span().head; }
  bool shares_tied_tensor() const;
  std::size_t place_of(LaneIndex lane) const;
  InnerBorders inner_borders();
  void cross(const WireCodec& codec, const at::Tensor& rows) const;
  Parameter& tied_tensor();
  void for_each_tensor(const std::function<void(const std::string&, at::Tensor&)>& visit);
  std::uint32_t take_slot(MicrobatchIndex microbatch);
  std::uint32_t slot_of(MicrobatchIndex microbatch);
  Rows encoded(const WireCodec& codec, const at::Tensor& tensor) const;
  at::Tensor decoded(const wire::Message& message, const WireCodec& codec, at::ScalarType dtype,
                     at::IntArrayRef largest) const;

  const job::Job& job_;
  const JobData* data_;
  StageModel model_;
  std::unique_ptr<Optimiser> optimiser_;
  at::ScalarType dtype_;                      // of the residual stream
  std::vector<std::int64_t> shape_;           // [micro, seq_len, hidden_size]
  std::unique_ptr<WireCodec> forward_codec_;  // of declared borders
  std::unique_ptr<WireCodec> backward_codec_;
  struct EndCodecs {
    std::unique_ptr<WireCodec> forward;
    std::unique_ptr<WireCodec> backward;
  };
  EndCodecs begin_;  // of what crosses to the stage before
  EndCodecs end_;    // and to the next
  std::unique_ptr<WireCodec> tied_codec_;
  std::vector<std::optional<MicrobatchIndex>> slots_;  // who has which
  std::vector<LaneIndex> lanes_;
  std::vector<double> loss_sums_;  // nats of the step under way, by lane
  std::vector<at::Tensor>
      host_;  // gradients on their way through a sum, where they lie on a device
  wire::EvalReport eval_;
};

}  // namespace ptrain::stage
