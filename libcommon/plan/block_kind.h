// The kinds of blocks that a model is made of. What a block costs depends on its kind alone, so a
// bench of each kind serves every cut.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "libcommon/job/model_config.h"

namespace ptrain::plan {

enum class BlockKind : std::uint8_t { embedding, attention, mlp, head };

inline constexpr std::array<std::string_view, 4> kBlockKindNames{"embedding", "attention", "mlp",
                                                                 "head"};
inline constexpr std::size_t kBlockKinds = kBlockKindNames.size();

template <class Value>
using PerKind = std::array<Value, kBlockKinds>;

constexpr std::size_t index_of(BlockKind kind) { return static_cast<std::size_t>(kind); }

// Whose parameter it is. A tied head has none of its own but its norm.
BlockKind kind_of(const job::ParameterSpec& parameter);

}  // namespace ptrain::plan
