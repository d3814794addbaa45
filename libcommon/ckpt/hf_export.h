// A checkpoint's model as a folder that transformers loads: config.json, the weights as
// safetensors, and what is known of the tokenizer. The optimiser's moments stay behind.
// Tensor by tensor; a tied head is not written, as Hugging Face does not.

#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "libcommon/ckpt/checkpoint_reader.h"
#include "libcommon/ckpt/progress.h"
#include "libcommon/os/storage.h"

namespace ptrain::ckpt {

inline constexpr ByteCount kDefaultHfFileBytes{5'000'000'000};  // as transformers cuts

struct HfExportOptions {
  Dtype dtype = Dtype::f32;  // or bf16
  bool averages = false;     // of the weights (optim.ema), in their place
  ByteCount max_file_bytes = kDefaultHfFileBytes;
  std::optional<std::string> sentencepiece_model = {};  // the bytes of the file
  bool replace = false;  // what an earlier export left in the folder; else it is refused
  Progress progress = {};
  bool tokenizer_adds_space = false;  // before every text
};

struct HfExported {
  std::vector<FileDigest> weights;  // the safetensors files
};

// config.json is written last and, with `replace`, removed first: a folder that has it is whole.
// Throws Error(usage) when the folder holds a file of a name that an export gives, and it is not
// to be replaced.
HfExported export_hf(const CheckpointReader& source, os::Storage& storage,
                     const std::filesystem::path& folder, const HfExportOptions& options);

}  // namespace ptrain::ckpt
