// The safetensors file format, read and written (ptrain-checkpoint(5)):
//
//   8 bytes   length N of the header, little-endian
//   N bytes   JSON: name -> {dtype, shape, data_offsets}, and "__metadata__"
//   the rest  the tensors' bytes, without holes or overlaps
//
// Reading needs the header only; the data stay on disk until asked for. The parser
// is a pure function and trusts nothing: it throws Error(corrupt) with the tensor,
// the value and the rule. Writing is canonical: tensors in the order given, no white
// space, spaces after the JSON so that the data start at a multiple of kAlignment.

#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "libcommon/base/units.h"
#include "libcommon/ckpt/tensor.h"
#include "libcommon/os/storage.h"

namespace ptrain::ckpt {

// The format's own limit on N.
inline constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;
// Ours, far beyond any model's, so that a hostile header cannot take all memory.
inline constexpr std::size_t kMaxTensors = 131'072;
inline constexpr std::size_t kMaxRank = 16;
inline constexpr std::size_t kMaxTensorNameBytes = 1024;
inline constexpr std::size_t kMaxMetadataEntries = 4096;
inline constexpr std::uint64_t kAlignment = 64;  // a cache line; the format asks for nothing

using Metadata = std::map<std::string, std::string>;

struct SafetensorsEntry {
  TensorInfo info;
  std::uint64_t begin = 0;  // in the file
  std::uint64_t end = 0;

  bool operator==(const SafetensorsEntry&) const = default;
};

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> tensors;  // by offset
  Metadata metadata;
  std::uint64_t data_begin = 0;  // in the file

  bool operator==(const SafetensorsHeader&) const = default;
};

// `json` is the N bytes, `file_bytes` the length of the whole file, `where` its name in errors.
SafetensorsHeader parse_safetensors_header(std::string_view json, std::uint64_t file_bytes,
                                           const std::string& where);
SafetensorsHeader read_safetensors_header(const os::ReadableFile& file, const std::string& where);

// The canonical header of a file with these tensors, its 8 length bytes included.
std::string safetensors_header(std::span<const TensorInfo> tensors, const Metadata& metadata);
// What Hugging Face's loaders ask for before they load a file: {"format": "pt"}.
const Metadata& pytorch_metadata();

}  // namespace ptrain::ckpt
