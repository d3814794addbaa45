#include "libcommon/ckpt/hf_files.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/base/in_quotes.h"
#include "libcommon/base/strict_json.h"
#include "libcommon/ckpt/safetensors.h"
#include "libcommon/job/hf_config.h"

namespace ptrain::ckpt {
namespace {

using nlohmann::json;

constexpr std::string_view kSuffix = ".safetensors";

bool is_plain_name(std::string_view name) {
  return name.size() <= kMaxHfFileNameBytes && name.size() > kSuffix.size() &&
         name.ends_with(kSuffix) && !name.starts_with('.') &&
         std::ranges::none_of(name, [](char c) {
           const auto u = static_cast<unsigned char>(c);
           return c == '/' || c == '\\' || u < 0x20 || u == 0x7f;
         });
}

std::uint64_t total_bytes(std::span<const HfFile> files) {
  std::uint64_t total = 0;
  for (const HfFile& file : files) {
    for (const TensorInfo& tensor : file.tensors) total += *byte_size(tensor);
  }
  return total;
}

}  // namespace

std::vector<HfFile> cut_into_files(std::span<const TensorInfo> tensors, ByteCount max_bytes) {
  std::vector<HfFile> files(1);
  std::uint64_t filled = 0;
  for (const TensorInfo& tensor : tensors) {
    const std::uint64_t bytes = byte_size(tensor).value();
    if (!files.back().tensors.empty() && filled + bytes > max_bytes.value()) {
      files.emplace_back();
      filled = 0;
    }
    files.back().tensors.push_back(tensor);
    filled += bytes;
  }
  if (files.size() > kMaxHfFiles) {
    throw Error(ErrorKind::usage,
                fmt::format("{} files of at most {} bytes, at most {} files are made", files.size(),
                            max_bytes.value(), kMaxHfFiles),
                "allow larger files");
  }
  for (std::size_t i = 0; i < files.size(); ++i) {
    files[i].name = files.size() == 1
                        ? std::string(kHfSingleName)
                        : fmt::format("model-{:05}-of-{:05}{}", i + 1, files.size(), kSuffix);
  }
  return files;
}

job::ModelConfig parse_hf_config(std::string_view text, const std::string& where) {
  return job::model_from_hf_json(parse_strict_json(without_preamble(text), where), where);
}

std::string index_json(std::span<const HfFile> files) {
  json weight_map = json::object();
  for (const HfFile& file : files) {
    for (const TensorInfo& tensor : file.tensors) weight_map[tensor.name] = file.name;
  }
  const json index{{"metadata", {{"total_size", total_bytes(files)}}},
                   {"weight_map", std::move(weight_map)}};
  return index.dump(2) + "\n";
}

HfIndex parse_hf_index(std::string_view text, const std::string& where) {
  if (text.size() > kMaxHfIndexBytes) {
    throw Error(ErrorKind::corrupt, fmt::format("{}: {} bytes, at most {} are allowed", where,
                                                text.size(), kMaxHfIndexBytes));
  }
  const json value = parse_strict_json(without_preamble(text), where);
  const auto weight_map = value.find("weight_map");
  if (weight_map == value.end() || !weight_map->is_object() || weight_map->empty()) {
    throw Error(ErrorKind::corrupt, where + ": no weight_map from tensors to files");
  }
  HfIndex index;
  std::set<std::string> names;
  for (const auto& [tensor, file] : weight_map->items()) {
    if (!file.is_string() || !is_plain_name(file.get_ref<const std::string&>())) {
      const std::string shown = file.is_string() ? in_quotes(file.get_ref<const std::string&>())
                                                 : std::string(file.type_name());
      throw Error(ErrorKind::corrupt,
                  fmt::format("{}: tensor {} in {}, expected the name of a {} file beside the "
                              "index",
                              where, in_quotes(tensor), shown, kSuffix));
    }
    names.insert(file.get<std::string>());
    index.emplace(tensor, file.get<std::string>());
  }
  if (index.size() > kMaxTensors || names.size() > kMaxHfFiles) {
    throw Error(ErrorKind::corrupt,
                fmt::format("{}: {} tensors in {} files, at most {} in {} are allowed", where,
                            index.size(), names.size(), kMaxTensors, kMaxHfFiles));
  }
  return index;
}

}  // namespace ptrain::ckpt
