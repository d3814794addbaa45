// A stage whose arithmetic is a digest: what a layer is after a step is a mixture of what it was
// and of everything that each of its lanes consumed, in the order in which it consumed it. Two runs
// end with the same digests exactly when every cell has consumed the same messages in the same
// order, however the job is cut and whoever holds what. Sums over lanes are of small whole numbers,
// which a float holds exactly, and so are worth nothing for the order of a sum; libcommon/reduce
// has its own tests of that. It takes the time that it is told to take.

#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <vector>

#include "libcommon/job/job.h"
#include "tools/stage/engine/cell_state.h"

namespace ptrain::sim {

struct FakeCellOptions {
  std::size_t payload_bytes = 16;  // of an activation and a gradient, at least 16
  // Called for every forward and backward, with whether it is a forward.
  std::function<void(bool)> compute = [](bool) {};
};

class FakeCell : public stage::CellState {
 public:
  FakeCell(const job::Job& job, const job::StageSpan& span, FakeCellOptions options);

  void initialise() override;
  void load(const ckpt::CheckpointReader& checkpoint, Step step) override;
  void load(const stage::TensorSource& source, Step step) override;
  stage::StateTensors state() override;

  void begin_step(Step step) override;
  std::optional<stage::Rows> forward(const stage::Work& work,
                                     const wire::Message* activation) override;
  std::optional<stage::Rows> backward(const stage::Work& work,
                                      const wire::Message* gradient) override;
  std::optional<stage::Rows> finish_gradients(LaneIndex lane) override;
  void add_tied_gradient(LaneIndex lane, const wire::Message& theirs) override;
  std::vector<stage::LaneGradient> gradients() override;
  void gradients_summed() override;
  stage::Readiness ready() override;
  void apply(double learning_rate, double clip_factor) override;

  void begin_evaluation() override;
  std::optional<stage::Rows> evaluate(std::uint32_t batch,
                                      const wire::Message* activation) override;
  wire::EvalReport evaluated() override;

  // Microbatches that it has held at once, at most.
  std::size_t most_held() const { return most_held_; }

 private:
  // What holds parameters: the embedding, each block, the head, and where the head is tied to an
  // embedding elsewhere, that.
  struct Lane {
    std::vector<std::uint64_t> gradients;  // by unit
    double loss_sum = 0;
    std::vector<float> flat{};  // the gradients, as sums over lanes take them
  };
  std::size_t unit_of(const job::ParameterSpec& spec) const;
  std::uint64_t through(Step step, std::uint64_t value, std::vector<std::uint64_t>* kept) const;
  stage::Rows rows(std::uint64_t value, std::size_t bytes) const;
  std::uint64_t value_of(const wire::Message& message) const;
  bool shares_tied_tensor() const;
  std::uint64_t& tied_gradient(Lane& lane);

  const job::Job& job_;
  job::StageSpan span_;
  FakeCellOptions options_;
  std::vector<job::ParameterSpec> specs_;
  std::vector<std::uint64_t> states_;  // by unit of this stage, in the order of the model
  std::size_t tied_ = 0;               // unit of the embedding, where the head has a copy of it
  std::map<LaneIndex, Lane> lanes_;
  std::map<MicrobatchIndex, std::vector<std::uint64_t>> held_;
  std::size_t most_held_ = 0;
  wire::EvalReport eval_;
};

}  // namespace ptrain::sim
