// A model in Hugging Face's format, read with suspicion: config.json, and the weights in
// model.safetensors or in the files that model.safetensors.index.json names.
//
// Opening checks that ptrain computes this kind of model (else Error(usage), with the key and the
// value), and that every parameter is there once, in its shape, as F32, BF16 or F16, and nothing
// else is (else Error(corrupt)). Data are read when they are asked for.

#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "libcommon/ckpt/hf_files.h"
#include "libcommon/ckpt/progress.h"
#include "libcommon/ckpt/safetensors.h"
#include "libcommon/ckpt/store.h"
#include "libcommon/os/storage.h"

namespace ptrain::ckpt {

class HfModel {
 public:
  // `storage` outlives the object.
  HfModel(os::Storage& storage, const std::filesystem::path& folder);

  const job::ModelConfig& config() const { return config_; }
  ByteCount data_size() const;  // of the parameters, as float32
  // The bytes of its SentencePiece model, where it has one.
  std::optional<std::string> tokenizer() const;
  // The bytes of a parameter as float32, little-endian.
  void stream(const std::string& parameter, const ByteSink& sink) const;

 private:
  struct Place {
    const os::ReadableFile* file = nullptr;
    std::string path;  // for errors
    SafetensorsEntry entry;
  };

  void open_weights();
  void open_file(const std::string& name, const HfIndex* index);
  void check_tensors();
  void check_tied_head();

  os::Storage& storage_;
  std::filesystem::path folder_;
  job::ModelConfig config_;
  std::vector<std::unique_ptr<os::ReadableFile>> files_;
  std::map<std::string, Place, std::less<>> places_;  // by tensor
};

// Writes the model into `target` as a checkpoint of step 0, cut into these stages: float32
// weights, no moments, no job. Throws Error(usage) when `target` has a checkpoint of that step.
CheckpointId import_hf(const HfModel& model, std::span<const job::StageSpan> cut,
                       os::Storage& storage, CheckpointStore& target,
                       const Progress& progress = {});

}  // namespace ptrain::ckpt
