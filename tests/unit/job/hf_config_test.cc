#include "libcommon/job/hf_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "libcommon/base/error.h"

namespace ptrain::job {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

json small_config() {
  return {{"model_type", "llama"},   {"vocab_size", 320},       {"hidden_size", 64},
          {"intermediate_size", 96}, {"num_hidden_layers", 2},  {"num_attention_heads", 4},
          {"use_cache", true},       {"torch_dtype", "float16"}};
}

std::string refusal_with(const char* key, const json& value) {
  json config = small_config();
  config[key] = value;
  try {
    model_from_hf_json(config, "config.json");
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    return error.what();
  }
  return "accepted";
}

TEST(HuggingFaceConfig, WhatIsAbsentIsAsInTransformers) {
  const ModelConfig model = model_from_hf_json(small_config(), "config.json");
  EXPECT_EQ(model.num_key_value_heads, 4);
  EXPECT_EQ(model.head_dim, 16);
  EXPECT_EQ(model.max_position_embeddings, 2048);
  EXPECT_EQ(model.rms_norm_eps, 1e-6);
  EXPECT_EQ(model.rope_theta, 10000.0);
  EXPECT_FALSE(model.tie_word_embeddings);
}

TEST(HuggingFaceConfig, WhatIsWrittenReadsBackAsTheSameModel) {
  ModelConfig model = model_from_hf_json(small_config(), "config.json");
  model.num_key_value_heads = 2;
  model.tie_word_embeddings = true;
  model.rope_theta = 12345.5;
  const auto written = model_to_hf_json(model);
  EXPECT_EQ(model_from_hf_json(json::parse(written.dump()), "config.json"), model);
  EXPECT_EQ(written.at("architectures").at(0), "LlamaForCausalLM");
}

TEST(HuggingFaceConfig, WhatPtrainDoesNotComputeIsRefusedByName) {
  EXPECT_THAT(refusal_with("model_type", "mistral"),
              HasSubstr("config.json: model_type = \"mistral\": ptrain trains the family"));
  EXPECT_THAT(refusal_with("hidden_act", "gelu"), HasSubstr("hidden_act"));
  EXPECT_THAT(refusal_with("attention_bias", true), HasSubstr("attention_bias"));
  EXPECT_THAT(refusal_with("mlp_bias", true), HasSubstr("mlp_bias"));
  EXPECT_THAT(refusal_with("attention_dropout", 0.1), HasSubstr("attention_dropout"));
  EXPECT_THAT(refusal_with("rope_scaling", {{"rope_type", "llama3"}}), HasSubstr("rope_scaling"));
  EXPECT_THAT(refusal_with("rope_parameters", {{"rope_type", "yarn"}}),
              HasSubstr("rope_parameters"));
  EXPECT_THAT(refusal_with("rope_parameters", 3), HasSubstr("rope_parameters"));
  EXPECT_THAT(refusal_with("partial_rotary_factor", 0.5), HasSubstr("partial_rotary_factor"));
  EXPECT_THAT(refusal_with("quantization_config", json::object()),
              HasSubstr("quantization_config"));
}

TEST(HuggingFaceConfig, WhatPtrainComputesAnywayIsAccepted) {
  EXPECT_EQ(refusal_with("rope_scaling", nullptr), "accepted");
  EXPECT_EQ(refusal_with("attention_bias", false), "accepted");
  EXPECT_EQ(refusal_with("attention_dropout", 0), "accepted");
  EXPECT_EQ(refusal_with("rope_parameters", {{"rope_theta", 5.0}}), "accepted");
}

TEST(HuggingFaceConfig, ImpossibleValuesAreRefused) {
  EXPECT_THAT(refusal_with("hidden_size", 66), HasSubstr("must be a multiple"));
  EXPECT_THAT(refusal_with("hidden_size", "64"), HasSubstr("expected an integer"));
  EXPECT_THAT(refusal_with("num_key_value_heads", 3), HasSubstr("must divide"));
  EXPECT_THAT(refusal_with("vocab_size", nullptr), HasSubstr("vocab_size is missing"));
  EXPECT_THROW(model_from_hf_json(json::array(), "config.json"), Error);
}

}  // namespace
}  // namespace ptrain::job
