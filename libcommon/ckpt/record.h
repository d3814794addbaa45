// What one stage says of its part of a checkpoint: stage-II.record.json
// (ptrain-checkpoint(5)). Values, and their canonical JSON.
//
// Canonical: keys sorted, no white space, so equal records are equal bytes.
// parse_record() accepts nothing else, and throws Error(corrupt) naming the
// place, the value and what is allowed.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libcommon/base/sha256.h"
#include "libcommon/base/units.h"
#include "libcommon/ckpt/tensor.h"
#include "libcommon/job/model_config.h"

namespace ptrain::ckpt {

// Version 2 has what version 1 has not: a tokenizer, or a cut inside a layer. What has neither is
// written as version 1.
inline constexpr std::uint64_t kFormatVersion = 1;
inline constexpr std::uint64_t kExtendedVersion = 2;
inline constexpr std::uint64_t kChunkBytes = 4 << 20;  // the unit of transfer and repair
inline constexpr std::uint32_t kMaxStages = 1000;
inline constexpr std::size_t kMaxRecordBytes = 64 << 20;

// What all stages of a checkpoint agree on.
struct RunState {
  Step step;                 // optimiser steps done
  std::uint64_t cursor = 0;  // sequences of the data order consumed by them
  job::ModelConfig model;
  std::string job;               // canonical JSON of the job; empty for an imported model
  std::string job_hash;          // 64 hexadecimal digits; empty for an imported model
  std::string resume_hash;       // the same; what a job must share to resume from here
  std::string data_fingerprint;  // of the training shards, 64 digits; empty for an imported model

  bool operator==(const RunState&) const = default;
};

struct TensorRecord {
  TensorInfo info;
  Sha256Digest sha256{};  // of the tensor's bytes

  bool operator==(const TensorRecord&) const = default;
};

// A file that is named with its contents' hash.
struct FileDigest {
  std::string name;  // a plain name: no /, not hidden
  ByteCount bytes;
  Sha256Digest sha256{};

  bool operator==(const FileDigest&) const = default;
};

struct FileRecord {
  FileDigest file;
  std::vector<Sha256Digest> chunk_sha256;  // of each kChunkBytes; the last may be shorter
  std::vector<TensorRecord> tensors;       // in file order; of a tokenizer none

  bool operator==(const FileRecord&) const = default;
};

struct StageRecord {
  RunState run;
  StageIndex stage;
  std::uint32_t stage_count = 0;
  job::StageSpan span;
  FileRecord model;                       // parameters(run.model, span), in that order, all F32
  std::optional<FileRecord> optim;        // <parameter>.<moment>: exp_avg, exp_avg_sq
  std::optional<FileRecord> tokenizer{};  // a SentencePiece model; of the stage that embeds

  bool operator==(const StageRecord&) const = default;
};

// stage-00.model.safetensors and its neighbours.
std::string model_file_name(StageIndex stage);
std::string optim_file_name(StageIndex stage);
std::string tokenizer_file_name(StageIndex stage);
std::string record_file_name(StageIndex stage);
// The stage whose record bears that name; empty for other names.
std::optional<StageIndex> stage_of_record(std::string_view file_name);

// The files that the record describes, as far as there are: model, optimiser, tokenizer.
std::vector<FileRecord> described_files(const StageRecord& record);

std::string canonical_json(const StageRecord& record);
// `where` names the source in errors: a path, or a peer.
StageRecord parse_record(std::string_view text, const std::string& where);

}  // namespace ptrain::ckpt
