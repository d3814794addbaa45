#include "libcommon/job/stage_layers.h"

#include <charconv>

#include <fmt/format.h>

#include "libcommon/job/stage_span.h"

namespace ptrain::job {
namespace {

constexpr std::string_view kMlp = "mlp";
constexpr std::string_view kAttention = "attention";

std::optional<std::int64_t> parse_count(std::string_view text, std::int64_t most) {
  std::int64_t count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  const bool all = error == std::errc() && end == text.data() + text.size();
  if (!all || count < 1 || count > most || text.front() == '0') return std::nullopt;
  return count;
}

// Takes the text before the first plus; the rest stays in `text`, which is empty after the last.
std::string_view take_part(std::string_view& text) {
  const std::size_t plus = text.find('+');
  const std::string_view part = text.substr(0, plus);
  text.remove_prefix(plus == std::string_view::npos ? text.size() : plus + 1);
  return part;
}

}  // namespace

std::int64_t StageLayers::blocks() const {
  return kBlocksPerLayer * whole + (mlp ? 1 : 0) + (attention ? 1 : 0);
}

std::optional<StageLayers> parse_stage_layers(std::string_view text, std::int64_t most_layers) {
  if (text.empty() || text.ends_with('+')) return std::nullopt;
  StageLayers layers;
  while (!text.empty()) {
    const std::string_view part = take_part(text);
    const bool nothing_yet = layers == StageLayers();
    if (part == kMlp && nothing_yet) {
      layers.mlp = true;
    } else if (part == kAttention && !layers.attention) {
      layers.attention = true;
    } else if (const auto count = parse_count(part, most_layers);
               count && layers.whole == 0 && !layers.attention) {
      layers.whole = *count;
    } else {
      return std::nullopt;
    }
  }
  return layers;
}

std::string text_of(const StageLayers& layers) {
  std::string text;
  const auto add = [&text](std::string_view part) {
    if (!text.empty()) text += '+';
    text += part;
  };
  if (layers.mlp) add(kMlp);
  // A number out of place is shown as it is.
  if (layers.whole != 0 || layers.blocks() == 0) add(std::to_string(layers.whole));
  if (layers.attention) add(kAttention);
  return text;
}

std::optional<std::string> open_cut(const std::vector<StageLayers>& stages) {
  for (std::size_t i = 0; i < stages.size(); ++i) {
    const bool last = i + 1 == stages.size();
    if (stages[i].mlp && (i == 0 || !stages[i - 1].attention)) {
      return fmt::format(
          "stage {} begins with the MLP part of a layer, but what comes before it "
          "does not end with its attention part",
          i);
    }
    if (stages[i].attention && (last || !stages[i + 1].mlp)) {
      return fmt::format(
          "stage {} ends with the attention part of a layer, but what follows it "
          "does not begin with its MLP part",
          i);
    }
  }
  return std::nullopt;
}

std::vector<std::int64_t> first_blocks(const std::vector<StageLayers>& pieces) {
  std::vector<std::int64_t> blocks;
  std::int64_t next = 0;
  for (const StageLayers& piece : pieces) {
    if (next > 0) blocks.push_back(next);
    next += piece.blocks();
  }
  return blocks;
}

std::int64_t layers_in_all(const std::vector<StageLayers>& stages) {
  std::int64_t blocks = 0;
  for (const StageLayers& stage : stages) blocks += stage.blocks();
  return blocks / kBlocksPerLayer;
}

}  // namespace ptrain::job
