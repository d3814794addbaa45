#include "libcommon/job/stage_span.h"

#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace ptrain::job {

StageSpan span_of_blocks(std::int64_t begin, std::int64_t end) {
  StageSpan span;
  span.layer_begin = begin / kBlocksPerLayer;
  span.layer_end = (end + 1) / kBlocksPerLayer;
  span.mlp_first = begin % kBlocksPerLayer != 0;
  span.attention_last = end % kBlocksPerLayer != 0;
  return span;
}

bool cuts_a_layer(const StageSpan& span) { return span.mlp_first || span.attention_last; }

std::string text_of(const StageSpan& span) {
  std::vector<std::string> parts;
  if (span.embedding) parts.emplace_back("embedding");
  const std::int64_t first = span.layer_begin + (span.mlp_first ? 1 : 0);
  const std::int64_t last = span.layer_end - 1 - (span.attention_last ? 1 : 0);
  if (span.mlp_first) parts.push_back(fmt::format("MLP of layer {}", span.layer_begin));
  if (first == last) parts.push_back(fmt::format("layer {}", first));
  if (first < last) parts.push_back(fmt::format("layers {} to {}", first, last));
  if (span.attention_last) {
    parts.push_back(fmt::format("attention of layer {}", span.layer_end - 1));
  }
  if (span.head) parts.emplace_back("head");
  return fmt::format("{}", fmt::join(parts, ", "));
}

}  // namespace ptrain::job
