// The tensors of one checkpoint by their global names, whichever stage's file
// holds them: what lets a job resume on another number of stages.
//
// Opening checks the manifest, the records against it, the files' sizes and the
// headers; reading a tensor checks its SHA-256, so damaged data never leaves the
// reader. All of it throws Error(corrupt) naming the file and, for data, the
// chunk. The object owns its open files; read() may be called from any thread.

#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "libcommon/ckpt/manifest.h"
#include "libcommon/ckpt/record.h"
#include "libcommon/ckpt/shard_reader.h"
#include "libcommon/os/storage.h"

namespace ptrain::ckpt {

enum class Coverage {
  all_stages,   // a missing file is an error
  held_stages,  // this host's share: stages whose files are elsewhere are passed over
};

class CheckpointReader {
 public:
  // `step_directory` as from CheckpointStore::step_directory. `storage` outlives the object.
  CheckpointReader(os::Storage& storage, std::filesystem::path step_directory,
                   Coverage coverage = Coverage::all_stages);

  const Manifest& manifest() const { return manifest_; }
  CheckpointId id() const { return id_; }
  const std::vector<StageRecord>& records() const { return records_; }
  // The SentencePiece model of the run's text: its path, its hash, and its bytes, read and checked
  // anew. Nothing where there is none, or its stage is not here.
  struct Tokenizer {
    std::filesystem::path path;
    Sha256Digest sha256{};
    std::string bytes;
  };
  std::optional<Tokenizer> tokenizer() const;

  // Model parameters, then optimiser moments, in the order of the stages. A tensor
  // that several stages hold (a tied embedding) is listed once.
  std::vector<TensorInfo> tensors() const;
  bool contains(std::string_view name) const;
  // Throws Error(corrupt) when there is no such tensor here.
  const TensorRecord& tensor(std::string_view name) const;
  // `out` has exactly the tensor's size.
  void read(std::string_view name, std::span<std::byte> out) const;
  // The same piece by piece. Whoever takes them keeps the result back until the end: only then
  // are they known to be what was saved.
  void stream(std::string_view name, const ByteSink& sink) const;
  TensorPieces pieces(std::string_view name) const;  // refers to this
  // Where the tensor lies: the file's name in the step's folder, and the bytes.
  struct Place {
    std::string file;
    ByteRange range;
  };
  Place place(std::string_view name) const;

  // Reads every file once and checks the hash of each chunk; together they vouch for the
  // whole. `progress` is told of bytes as they are read. Throws at the first bad chunk.
  void verify_data(const Progress& progress = {}) const;

 private:
  struct Location {
    std::size_t shard = 0;   // in shards_
    std::size_t tensor = 0;  // in the shard's record
  };

  const Location& locate(std::string_view name) const;
  const TensorRecord& record_at(const Location& location) const;
  void open_stage(StageIndex stage, Coverage coverage);
  void open_shard(const FileRecord& file);

  os::Storage& storage_;
  std::filesystem::path directory_;
  Manifest manifest_;
  CheckpointId id_;
  std::vector<StageRecord> records_;
  std::vector<ShardReader> shards_;
  std::map<std::string, Location, std::less<>> locations_;
};

}  // namespace ptrain::ckpt
