// A model's folder as Hugging Face's loaders expect it: names, limits, the cut into files,
// config.json and model.safetensors.index.json. Values and pure functions; the parsers trust
// nothing, and throw Error(corrupt) for what is not such a file.

#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "libcommon/base/units.h"
#include "libcommon/ckpt/tensor.h"
#include "libcommon/job/model_config.h"

namespace ptrain::ckpt {

inline constexpr std::string_view kHfConfigName = "config.json";
inline constexpr std::string_view kHfTokenizerName = "tokenizer.model";  // SentencePiece's
inline constexpr std::string_view kHfSingleName = "model.safetensors";
inline constexpr std::string_view kHfIndexName = "model.safetensors.index.json";
inline constexpr std::size_t kMaxHfIndexBytes = 16 << 20;
inline constexpr std::size_t kMaxHfFiles = 10'000;
inline constexpr std::size_t kMaxHfFileNameBytes = 255;

struct HfFile {
  std::string name;
  std::vector<TensorInfo> tensors;

  bool operator==(const HfFile&) const = default;
};

// The tensors in files of at most `max_bytes` of data each, in order; a tensor that is larger
// has a file of its own. One file is model.safetensors, several model-00001-of-00002.safetensors
// and so on. Throws Error(usage) when there would be more than kMaxHfFiles.
std::vector<HfFile> cut_into_files(std::span<const TensorInfo> tensors, ByteCount max_bytes);

// config.json. Throws Error(usage), with the key and the value, for a model that ptrain does not
// compute.
job::ModelConfig parse_hf_config(std::string_view text, const std::string& where);

// Which file holds each tensor.
using HfIndex = std::map<std::string, std::string, std::less<>>;

std::string index_json(std::span<const HfFile> files);
// Every file must be a plain name that ends in .safetensors, in the folder of the index.
HfIndex parse_hf_index(std::string_view text, const std::string& where);

}  // namespace ptrain::ckpt
