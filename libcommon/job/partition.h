// Which blocks each pipeline stage holds. Pure: every stage of a job computes
// the same cut from the same job. A stage holds one block at least, and one layer
// where cuts fall between layers, so that it has something to do between its two
// neighbours.

#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "libcommon/job/job.h"
#include "libcommon/job/model_config.h"

namespace ptrain::job {

// The job's cut: job.pipeline.layers where given, else balanced at job.data.seq_len, between what
// job.pipeline.cut says.
std::vector<StageSpan> partition(const Job& job, std::size_t stages);

// With `layers` empty, the contiguous cut, between layers or between blocks, whose most expensive
// stage is cheapest and, among those, the most even one (ties: less in early stages, which hold
// most microbatches). The cost of a block is its multiplications per token: the weights of its
// projections, and causal attention over sequences of max_position_embeddings; the last stage adds
// the head. Else stage s holds layers[s]. Throws Error(usage) for no stage, for more stages than
// there is to share, and for `layers` that do not fit.
std::vector<StageSpan> partition(const ModelConfig& model, std::size_t stages,
                                 const std::vector<StageLayers>& layers,
                                 CutBetween between = CutBetween::layers);

// The cut of `costs` into `stages` contiguous, non-empty pieces, as lengths: 1 <= stages <=
// costs.size(). Exact, in O(stages x costs^2).
std::vector<std::int64_t> balanced_cut(const std::vector<std::uint64_t>& costs, std::size_t stages);

}  // namespace ptrain::job
