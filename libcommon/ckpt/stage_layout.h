// What the files of one stage hold, before a byte of it is at hand: the plan by which a
// checkpoint is written tensor by tensor. Values.

#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "libcommon/ckpt/record.h"
#include "libcommon/ckpt/tensor.h"

namespace ptrain::ckpt {

struct StageLayout {
  RunState run;
  StageIndex stage;
  std::uint32_t stage_count = 0;
  job::StageSpan span;
  std::vector<TensorInfo> model;  // parameters(run.model, span), in that order, all F32
  std::vector<TensorInfo> optim;  // "<parameter>.exp_avg", "<parameter>.exp_avg_sq"; may be empty
  std::optional<std::string> tokenizer{};  // a SentencePiece model's bytes; where span.embedding

  bool operator==(const StageLayout&) const = default;
};

// Gives the bytes of one tensor of a layout to the sink.
using TensorStream = std::function<void(const TensorInfo&, const ByteSink&)>;

// The layout of the tensor files that a record describes; its tokenizer's bytes are elsewhere.
StageLayout layout_of(const StageRecord& record);

// A layout for each stage of the cut. `moments` are the optimiser's tensors of the whole
// model: each stage gets those of its parameters, parameter by parameter, and those of one
// parameter in the order in which they are given. The one that embeds gets the tokenizer.
std::vector<StageLayout> layouts_of_cut(const RunState& run, std::span<const job::StageSpan> cut,
                                        std::span<const TensorInfo> moments,
                                        const std::optional<std::string>& tokenizer);

}  // namespace ptrain::ckpt
