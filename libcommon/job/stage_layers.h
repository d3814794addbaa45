// How many layers a stage holds, as pipeline.layers of a job and --layers of ptrain-ckpt say it:
// "3", or with the parts of the layers that a cut goes through: "3+attention", "mlp+2+attention",
// "mlp". Values.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ptrain::job {

struct StageLayers {
  bool mlp = false;  // of the layer whose attention part the stage before holds
  std::int64_t whole = 0;
  bool attention = false;  // of the layer whose MLP part the next stage holds

  StageLayers() = default;
  // A number alone is so many whole layers.
  StageLayers(std::int64_t layers) : whole(layers) {}
  StageLayers(bool begins_with_mlp, std::int64_t layers, bool ends_with_attention)
      : mlp(begins_with_mlp), whole(layers), attention(ends_with_attention) {}

  std::int64_t blocks() const;

  bool operator==(const StageLayers&) const = default;
};

// One spelling each: no part stands twice or in another order, no number is 0 or above
// `most_layers`. nullopt for any other text.
std::optional<StageLayers> parse_stage_layers(std::string_view text, std::int64_t most_layers);
std::string text_of(const StageLayers& layers);

// Where two neighbours do not share one layer between them, in words; nullopt where all fit.
std::optional<std::string> open_cut(const std::vector<StageLayers>& stages);

// The blocks before which a piece begins, without the first; where open_cut() finds nothing.
std::vector<std::int64_t> first_blocks(const std::vector<StageLayers>& pieces);

// Of the model that `stages` make up, where open_cut() finds nothing.
std::int64_t layers_in_all(const std::vector<StageLayers>& stages);

}  // namespace ptrain::job
