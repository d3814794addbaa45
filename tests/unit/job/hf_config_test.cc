#include "libcommon/job/hf_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "libcommon/base/error.h"

namespace ptrain::job {
namespace {

using nlohmann::json;
using ::testing::AllOf;
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
  EXPECT_THAT(refusal_with("model_type", "qwen2"),
              HasSubstr("config.json: model_type = \"qwen2\": ptrain trains the families"));
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

ModelConfig model_with(const json& changes) {
  json config = small_config();
  config.update(changes);
  return model_from_hf_json(config, "config.json");
}

TEST(HuggingFaceConfig, RopeThetaCountsInEveryPlaceThatTransformersReads) {
  EXPECT_EQ(model_with({{"rope_theta", 5e5}}).rope_theta, 5e5);
  for (const char* table : {"rope_parameters", "rope_scaling"}) {
    EXPECT_EQ(model_with({{table, {{"rope_theta", 5e5}}}}).rope_theta, 5e5) << table;
    EXPECT_EQ(model_with({{"rope_theta", nullptr}, {table, {{"rope_theta", 5e5}}}}).rope_theta,
              5e5);
    EXPECT_EQ(model_with({{"rope_theta", 500000}, {table, {{"rope_theta", 5e5}}}}).rope_theta, 5e5);
    EXPECT_EQ(model_with({{"rope_theta", 5e5}, {table, {{"rope_theta", nullptr}}}}).rope_theta,
              5e5);
    EXPECT_EQ(model_with({{table, {{"rope_type", "default"}, {"rope_theta", 7}}}}).rope_theta, 7);
  }
  EXPECT_EQ(model_with({{"rope_theta", nullptr}}).rope_theta, 10000.0);
}

json mistral() {
  json config = small_config();
  config.update({{"model_type", "mistral"},
                 {"architectures", {"MistralForCausalLM"}},
                 {"num_key_value_heads", 2},
                 {"sliding_window", nullptr}});
  return config;
}

TEST(HuggingFaceConfig, AMistralWithoutAWindowIsALlama) {
  const ModelConfig model = model_from_hf_json(mistral(), "config.json");
  const ModelConfig llama =
      model_with({{"num_key_value_heads", 2}, {"max_position_embeddings", 131072}});
  EXPECT_EQ(model, llama);
  for (const char* key : {"model_type", "architectures"}) {  // either says the family
    json config = mistral();
    config.erase(key);
    EXPECT_EQ(model_from_hf_json(config, "config.json"), llama) << key;
  }
}

TEST(HuggingFaceConfig, WhatAMistralLeavesOutIsAsInTransformers) {
  json config = mistral();
  config.update({{"num_attention_heads", 16}, {"num_key_value_heads", nullptr}});
  EXPECT_EQ(model_from_hf_json(config, "config.json").num_key_value_heads, 16);
  config.erase("num_key_value_heads");
  EXPECT_EQ(model_from_hf_json(config, "config.json").num_key_value_heads, 8);
  config["max_position_embeddings"] = 4096;
  EXPECT_EQ(model_from_hf_json(config, "config.json").max_position_embeddings, 4096);
}

std::string refusal_of(const json& config) {
  try {
    model_from_hf_json(config, "config.json");
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    return std::string(error.what()) + "; " + error.hint();
  }
  return "accepted";
}

TEST(HuggingFaceConfig, AWindowIsRefusedAlsoWhereTheFileLeavesItOut) {
  json config = mistral();
  config["sliding_window"] = 1024;
  EXPECT_THAT(refusal_of(config),
              HasSubstr("config.json: sliding_window = 1024: ptrain's attention "
                        "has no window"));
  config.erase("sliding_window");
  EXPECT_THAT(refusal_of(config),
              AllOf(HasSubstr("sliding_window = 4096"), HasSubstr("\"sliding_window\": null")));
  EXPECT_EQ(refusal_with("sliding_window", 1024), "accepted");  // a Llama knows no such key
}

TEST(HuggingFaceConfig, AnArchitectureOfAnotherFamilyIsRefused) {
  EXPECT_THAT(refusal_with("architectures", {"MistralForCausalLM"}),
              HasSubstr("architectures = [\"MistralForCausalLM\"]: ptrain trains LlamaForCausalLM, "
                        "and MistralForCausalLM of model_type"));
  json config = mistral();
  config["architectures"] = {"MistralForTokenClassification"};
  EXPECT_THAT(refusal_of(config), HasSubstr("architectures"));
}

TEST(HuggingFaceConfig, TwoRopeThetasAreRefused) {
  json config = small_config();
  config["rope_theta"] = 10000;
  EXPECT_EQ(config.contains("rope_parameters"), false);
  config["rope_parameters"] = {{"rope_theta", 5e5}};
  try {
    model_from_hf_json(config, "config.json");
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("rope_parameters.rope_theta = 500000: the file says "
                                        "rope_theta = 10000 as well"));
    EXPECT_THAT(error.hint(), HasSubstr("remove one of them"));
  }
}

TEST(HuggingFaceConfig, ScaledEmbeddingsAreRefusedInEverySpelling) {
  for (const char* table : {"rope_parameters", "rope_scaling"}) {
    for (const char* type : {"rope_type", "type"}) {
      EXPECT_THAT(refusal_with(table, {{type, "linear"}, {"factor", 2.0}}), HasSubstr(table));
      EXPECT_EQ(refusal_with(table, {{type, "default"}}), "accepted");
      EXPECT_EQ(refusal_with(table, {{type, nullptr}}), "accepted");
    }
    EXPECT_THAT(refusal_with(table, {{"rope_type", "default"}, {"type", "yarn"}}),
                HasSubstr("does not scale"));
    EXPECT_THAT(refusal_with(table, {{"factor", 2.0}}),
                HasSubstr("{\"factor\":2.0}: ptrain does not scale"));
    EXPECT_THAT(refusal_with(table, {{"partial_rotary_factor", 0.5}}),
                HasSubstr("partial_rotary_factor = 0.5"));
    EXPECT_EQ(refusal_with(table, {{"partial_rotary_factor", 1.0}}), "accepted");
    EXPECT_EQ(refusal_with(table, json::object()), "accepted");
    EXPECT_EQ(refusal_with(table, nullptr), "accepted");
    EXPECT_THAT(refusal_with(table, json::array()), HasSubstr("expected a table"));
  }
}

TEST(HuggingFaceConfig, OneSpellingStaysAsItIs) {
  json config = small_config();
  config["rope_scaling"] = {{"type", "default"}, {"rope_theta", 3.0}};
  const json once = in_one_spelling(config, "x");
  EXPECT_EQ(once.at("rope_theta"), 3.0);
  EXPECT_EQ(in_one_spelling(once, "x"), once);
}

TEST(HuggingFaceConfig, WhatElseChangesTheNumbersIsRefusedOrComputed) {
  EXPECT_EQ(refusal_with("hidden_act", "swish"), "accepted");
  EXPECT_EQ(refusal_with("architectures", {"LLaMAForCausalLM"}), "accepted");
  EXPECT_THAT(refusal_with("architectures", {"LlamaModel"}), HasSubstr("architectures"));
  EXPECT_EQ(refusal_with("pruned_heads", json::object()), "accepted");
  EXPECT_THAT(refusal_with("pruned_heads", {{"1", {0}}}), HasSubstr("pruned_heads"));
  EXPECT_THAT(refusal_with("per_layer_config", {{"0", {{"head_dim", 8}}}}),
              HasSubstr("per_layer_config"));
  EXPECT_THAT(refusal_with("attention_dropout", "0.1"), HasSubstr("attention_dropout"));
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
