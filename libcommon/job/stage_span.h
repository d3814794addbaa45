// Which blocks of the model one pipeline stage holds. A layer is two blocks, its attention part
// and its MLP part, and a cut may fall between any two. Values.

#pragma once

#include <cstdint>
#include <string>

namespace ptrain::job {

inline constexpr std::int64_t kBlocksPerLayer = 2;
// Blocks are counted from the model's first: of layer i, 2 i is the attention part, 2 i + 1 the
// MLP.
inline bool is_attention(std::int64_t block) { return block % kBlocksPerLayer == 0; }

// The layers [layer_begin, layer_end), or what a cut inside the first or the last of them leaves;
// the embedding when the stage is the first, the final norm and head when it is the last.
struct StageSpan {
  std::int64_t layer_begin = 0;
  std::int64_t layer_end = 0;
  bool embedding = false;
  bool head = false;
  bool mlp_first = false;       // the stage before holds the attention part of layer_begin
  bool attention_last = false;  // the next stage holds the MLP part of layer_end - 1

  std::int64_t block_begin() const {
    return kBlocksPerLayer * layer_begin + static_cast<std::int64_t>(mlp_first);
  }
  std::int64_t block_end() const {
    return kBlocksPerLayer * layer_end - static_cast<std::int64_t>(attention_last);
  }
  std::int64_t blocks() const { return block_end() - block_begin(); }

  bool operator==(const StageSpan&) const = default;
};

// The span of blocks [begin, end), without the model's ends.
StageSpan span_of_blocks(std::int64_t begin, std::int64_t end);

// Whether a cut inside a layer bounds it.
bool cuts_a_layer(const StageSpan& span);

// "embedding, layers 0 to 2, attention of layer 3": for people. Both layers are counted in.
std::string text_of(const StageSpan& span);

}  // namespace ptrain::job
