#include "libcommon/job/model_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ptrain::job {
namespace {

using ::testing::ElementsAre;

ModelConfig two_layers() {
  return {.vocab_size = 100,
          .hidden_size = 8,
          .intermediate_size = 24,
          .num_hidden_layers = 2,
          .num_attention_heads = 4,
          .num_key_value_heads = 2,
          .head_dim = 6};
}

std::vector<std::string> names(const std::vector<ParameterSpec>& list) {
  std::vector<std::string> result;
  for (const ParameterSpec& parameter : list) result.push_back(parameter.name);
  return result;
}

TEST(Parameters, HaveHuggingFacesNamesInCanonicalOrder) {
  ModelConfig model = two_layers();
  model.num_hidden_layers = 1;
  EXPECT_THAT(
      names(parameters(model)),
      ElementsAre(
          "model.embed_tokens.weight", "model.layers.0.input_layernorm.weight",
          "model.layers.0.self_attn.q_proj.weight", "model.layers.0.self_attn.k_proj.weight",
          "model.layers.0.self_attn.v_proj.weight", "model.layers.0.self_attn.o_proj.weight",
          "model.layers.0.post_attention_layernorm.weight", "model.layers.0.mlp.gate_proj.weight",
          "model.layers.0.mlp.up_proj.weight", "model.layers.0.mlp.down_proj.weight",
          "model.norm.weight", "lm_head.weight"));
}

TEST(Parameters, HaveOutByInShapesAndDecayOnlyOnProjectionsAndHead) {
  for (const ParameterSpec& parameter : parameters(two_layers())) {
    const bool norm = parameter.name.find("norm") != std::string::npos;
    const bool embedding = parameter.name.find("embed") != std::string::npos;
    EXPECT_EQ(parameter.decay, !norm && !embedding) << parameter.name;
    EXPECT_EQ(parameter.shape.size(), norm ? 1u : 2u) << parameter.name;
    if (parameter.name == "model.layers.1.self_attn.k_proj.weight") {
      EXPECT_THAT(parameter.shape, ElementsAre(12, 8));
    }
    if (parameter.name == "model.layers.1.mlp.down_proj.weight") {
      EXPECT_THAT(parameter.shape, ElementsAre(8, 24));
    }
  }
}

TEST(Parameters, OfTheStagesTogetherAreThoseOfTheModel) {
  std::vector<ParameterSpec> joined = parameters(two_layers(), {0, 1, true, false});
  for (const ParameterSpec& p : parameters(two_layers(), {1, 2, false, true})) joined.push_back(p);
  EXPECT_EQ(joined, parameters(two_layers()));
}

TEST(Parameters, OfAStageThatEndsInsideALayerAreThoseOfItsParts) {
  std::vector<ParameterSpec> joined = parameters(two_layers(), {0, 1, true, false, false, true});
  EXPECT_EQ(joined.back().name, "model.layers.0.self_attn.o_proj.weight");
  const auto rest = parameters(two_layers(), {0, 2, false, true, true, false});
  EXPECT_EQ(rest.front().name, "model.layers.0.post_attention_layernorm.weight");
  joined.insert(joined.end(), rest.begin(), rest.end());
  EXPECT_EQ(joined, parameters(two_layers()));
}

TEST(Parameters, OfATiedHeadAreTheEmbeddingsOnceAStage) {
  ModelConfig model = two_layers();
  model.tie_word_embeddings = true;
  EXPECT_EQ(parameters(model).back().name, "model.norm.weight");
  EXPECT_EQ(parameters(model, {1, 2, false, true}).back().name, "model.embed_tokens.weight");
}

}  // namespace
}  // namespace ptrain::job
