// The model's shape to and from Hugging Face's config.json: a Llama's, or a Mistral's without
// a sliding window, which is the same model. What ptrain does not compute (scaled rotary
// embeddings, biases, another activation, a window, another family) is refused by its name, in
// the newest and in the older spelling that transformers reads; keys without a bearing on the
// result are ignored.

#pragma once

#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include "libcommon/job/model_config.h"

namespace ptrain::job {

// The same configuration with every value under the one name that a job file has for it, too:
// rope_theta, which transformers 5 puts into rope_parameters. Throws Error(usage) where the file
// scales rotary embeddings or says two things. What has been through it goes through it unchanged.
nlohmann::json in_one_spelling(nlohmann::json config, std::string_view source);

// `source` is what errors call the file. A key that is absent has the value that
// transformers' configuration of that family gives it, but the sizes must be there. Throws
// Error(usage).
ModelConfig model_from_hf_json(const nlohmann::json& config, std::string_view source);

// What transformers' LlamaForCausalLM loads, with float32 as the stored type.
nlohmann::ordered_json model_to_hf_json(const ModelConfig& model);

}  // namespace ptrain::job
