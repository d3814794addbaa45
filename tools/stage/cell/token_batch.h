// Windows of a token dataset as tensors: what the first stage embeds and the last predicts. And
// tokens that are no text, for whoever needs some of a shape.

#pragma once

#include <cstdint>
#include <span>

#include <ATen/ATen.h>

#include "libcommon/data/dataset.h"

namespace ptrain::stage {

struct TokenBatch {
  at::Tensor inputs;   // int32 [b, t]
  at::Tensor targets;  // int32 [b, t]: the token after each input
};

// One row a window.
TokenBatch token_batch(const data::TokenDataset& dataset, std::span<const std::uint64_t> windows,
                       at::Device device);

// int32 of this shape, from `first` on; many different ones of any vocabulary.
at::Tensor tokens_from(std::int64_t first, at::IntArrayRef shape, std::int64_t vocabulary,
                       at::Device device);

}  // namespace ptrain::stage
