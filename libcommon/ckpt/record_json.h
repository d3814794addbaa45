// The JSON that records and manifests share: model, run, span, file digest, and
// the checks on their values. from_* take a parsed object and throw Error(corrupt).

#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "libcommon/base/strict_json.h"
#include "libcommon/ckpt/record.h"

namespace ptrain::ckpt {

// What a model in a checkpoint may claim: no less than a job file allows, and small
// enough that no product of two overflows and no list of parameters takes all memory.
inline constexpr std::uint64_t kMaxLayers = 4096;
inline constexpr std::uint64_t kMaxModelDimension = 1ull << 31;  // the largest vocabulary of a job

nlohmann::json to_json(const job::ModelConfig& model);
nlohmann::json to_json(const RunState& run);
nlohmann::json to_json(const job::StageSpan& span);
nlohmann::json to_json(const FileDigest& file);

job::ModelConfig model_from_json(JsonObject object);
RunState run_from_json(JsonObject object);
job::StageSpan span_from_json(JsonObject object);
// The file must bear the name that its place in the checkpoint gives it.
FileDigest file_digest_from_json(JsonObject object, const std::string& name);

// Layers within the model, embedding on the first stage and only there, head on the last.
void check_span(const job::StageSpan& span, const job::ModelConfig& model, StageIndex stage,
                std::uint32_t stage_count, const std::string& where);

// Refuses text whose value would be written in other bytes.
void check_canonical(std::string_view text, const std::string& canonical, const std::string& where);
// Refuses another format, or a version that this program does not know. Which of those it is
// follows from what it has in it, and is check_canonical()'s.
void check_format(JsonObject& object, std::string_view format);

}  // namespace ptrain::ckpt
