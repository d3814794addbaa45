// What a whole checkpoint is: manifest.json (ptrain-checkpoint(5)), derived from
// the records of all stages by a pure function, so whoever has the records
// writes the same bytes. A step without a valid manifest does not exist.
//
// The manifest holds the hash of every file, records included, and the records
// hold the hashes of the chunks: the id vouches for every byte of the checkpoint.

#pragma once

#include <compare>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "libcommon/base/sha256.h"
#include "libcommon/ckpt/record.h"

namespace ptrain::ckpt {

inline constexpr std::string_view kManifestName = "manifest.json";
inline constexpr std::size_t kMaxManifestBytes = 16 << 20;

// SHA-256 of the manifest's bytes.
struct CheckpointId {
  Sha256Digest digest{};

  std::string hex() const { return to_hex(digest); }
  auto operator<=>(const CheckpointId&) const = default;
};

std::optional<CheckpointId> checkpoint_id_from_hex(std::string_view hex);

struct ManifestStage {
  job::StageSpan span;
  FileDigest record;
  FileDigest model;
  std::optional<FileDigest> optim{};
  std::optional<FileDigest> tokenizer{};  // of the stage that embeds

  bool operator==(const ManifestStage&) const = default;
};

struct Manifest {
  RunState run;
  std::vector<ManifestStage> stages;
  Sha256Digest weights_sha256{};  // see weights_digest.h

  bool operator==(const Manifest&) const = default;
};

// The files of a stage, then of the next: record, model, optim, tokenizer.
std::vector<FileDigest> files(const Manifest& manifest);
std::vector<FileDigest> files(const ManifestStage& stage);

// From the records of all stages, in any order. Throws Error(corrupt) when one is
// missing or given twice, when they disagree on the run, when their spans do not
// cover the model, or when two holders of a tied embedding hold different bytes.
Manifest make_manifest(std::span<const StageRecord> records);

// What the record of a stage says otherwise than the manifest, in words; empty when the two
// agree. `stage` is one of the manifest's.
std::optional<std::string> contradiction(const Manifest& manifest, StageIndex stage,
                                         const StageRecord& record);

std::string canonical_json(const Manifest& manifest);
// Accepts only what canonical_json() writes; throws Error(corrupt) otherwise.
Manifest parse_manifest(std::string_view text, const std::string& where);

CheckpointId checkpoint_id(const Manifest& manifest);

}  // namespace ptrain::ckpt
