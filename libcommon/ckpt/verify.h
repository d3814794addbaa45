// Is a step whole? Reads what is there, finds all that is wrong with it and names it, to
// the chunk and the tensors in it.
//
// Structure: the manifest, each record against it, the files' kinds, sizes and headers
// against the records, and the derivation of the manifest from the records. Data: every
// chunk of every file against the record's hash; the id vouches for the records, so two
// peers with one id and sound data have the same bytes.

#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "libcommon/ckpt/chunk.h"
#include "libcommon/ckpt/manifest.h"
#include "libcommon/ckpt/progress.h"
#include "libcommon/os/storage.h"

namespace ptrain::ckpt {

enum class Thoroughness {
  structure,  // reads manifests, records and headers
  data,       // reads every byte
};

// Threads that hash; each has a buffer of kPieceBytes, which is all the memory that the data take.
inline constexpr std::size_t kMaxVerifyThreads = 8;

struct VerifyOptions {
  Thoroughness thoroughness = Thoroughness::structure;
  std::size_t threads = 0;  // 0: as many as this process may run at once; never more than the limit
  Progress progress = {};
};

struct BadChunk {
  std::size_t index = 0;
  ByteRange range;
  std::vector<std::string> tensors;  // in it; "the header" among them

  bool operator==(const BadChunk&) const = default;
};

// Something that is not as it was saved.
struct Damage {
  std::string file;    // in the step's folder
  std::string reason;  // for people
  std::optional<BadChunk> chunk;
};

struct Verification {
  Manifest manifest;
  CheckpointId id;
  std::vector<StageIndex> held;      // all their files are here, and nothing is wrong with them
  std::vector<std::string> missing;  // files that the manifest names and that are not here
  std::vector<Damage> damage;
  ByteCount checked;  // bytes of tensor files that were read and hashed

  bool sound() const { return damage.empty(); }
  bool whole() const { return sound() && missing.empty(); }
};

// Throws Error(corrupt) when the manifest is not valid, for then there is nothing to compare
// with, and Error(io) when it is not there or the system cannot read something.
Verification verify_step(os::Storage& storage, const std::filesystem::path& step_directory,
                         const VerifyOptions& options);

}  // namespace ptrain::ckpt
