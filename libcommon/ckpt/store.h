// A directory of checkpoints, one folder a step (ptrain-checkpoint(5)).
//
//   step-00001200/stage-00.model.safetensors   then stage-00.optim.safetensors,
//                 stage-00.tokenizer.model      of a job that has one,
//                 stage-00.record.json          once these are durable,
//                 manifest.json                 once every stage's record is
//
// Stages on one machine may share the directory, or each host keep its own, so
// files are made durable one by one instead of renaming the whole folder: no
// process has to know when the others are done before its own part is safe. What
// makes a step exist is the manifest, renamed into place last; every process
// that holds all records may write it, and all of them write the same bytes.
// Removal goes the other way: manifest first.
//
// The directory may be a symbolic link, and so may a step's folder in it: what was moved to a
// larger disk is found and read as before. Nothing is written or removed through a step's link:
// write_stage(), write_manifest() and remove_step() refuse it with Error(usage).
//
// One object per process and thread; other processes may use the same directory.
// Errors: Error(io) from the storage, Error(corrupt) for what does not check.

#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "libcommon/ckpt/manifest.h"
#include "libcommon/ckpt/record.h"
#include "libcommon/ckpt/stage_layout.h"
#include "libcommon/os/storage.h"

namespace ptrain::ckpt {

enum class StepState {
  complete,  // a valid manifest, and every file that it names, in its size
  partial,   // no manifest, or files of it are not here
  corrupt,   // a manifest that does not check, or a file of another size or kind
};

struct StepInfo {
  Step step;
  bool linked = false;  // its folder is a symbolic link
  StepState state = StepState::partial;
  std::string reason;                // why not complete
  std::optional<CheckpointId> id;    // where the manifest is valid
  std::optional<Manifest> manifest;  // the same
  std::vector<StageIndex> held;      // stages of a valid manifest that are whole here, by size
  ByteCount bytes;                   // of all files in the folder
  std::chrono::system_clock::time_point modified;
};

// What a stage saves. The tensors' bytes stay unchanged until write_stage() returns.
struct StageState {
  RunState run;
  StageIndex stage;
  std::uint32_t stage_count = 0;
  job::StageSpan span;
  std::vector<TensorView> model;  // parameters(run.model, span), in that order, all F32
  std::vector<TensorView> optim;  // "<parameter>.exp_avg", "<parameter>.exp_avg_sq"; may be empty
  std::optional<std::string> tokenizer{};  // a SentencePiece model's bytes; where span.embedding
};

class CheckpointStore {
 public:
  // `writer` names this process among those that share the directory ("stage-00";
  // letters, digits and -): its unfinished files bear it. `storage` outlives the object.
  CheckpointStore(os::Storage& storage, std::filesystem::path directory, std::string writer);

  // Ascending by step; empty when the directory is empty or not there. Looks at
  // names, sizes and manifests, not at the tensors' bytes.
  std::vector<StepInfo> list() const;
  std::optional<StepInfo> newest_complete() const;
  // "latest" (the newest complete one), a step's number, "step-00001200", or at least
  // kMinIdPrefix digits of an id. Throws Error(usage) when a prefix fits several ids.
  std::optional<StepInfo> find(std::string_view which) const;
  std::optional<StepInfo> inspect(Step step) const;
  // The step's manifest is valid and this stage's files are here, in their sizes.
  bool holds(Step step, StageIndex stage) const;

  // Makes the stage's files durable, data first, the record last, in one pass over the
  // bytes. Files already there are replaced; a manifest and record that describe other
  // bytes are withdrawn first. Clears what this writer left unfinished in that folder.
  StageRecord write_stage(const StageState& state);
  // The same for a state that does not lie in memory: `read` is asked for one tensor after the
  // other, in the order of the layout. What it throws leaves the files that stood as they were.
  // Whatever fails, the files that were written before it are removed.
  StageRecord write_stage(const StageLayout& layout, const TensorStream& read);
  // Removes a stage's files of a step that has no manifest, and the folder when it is empty then.
  // As far as that works: it is for saves that failed. A step with a manifest stays as it is.
  void discard(Step step, StageIndex stage);
  // Makes durable what the manifest names and is here, and a manifest that is, whoever wrote
  // them: a manifest for files that were copied here a moment ago must not outlive them.
  void sync_files(const Manifest& manifest);
  // Writes the manifest that make_manifest() derived from the records of all stages. Every
  // file it names that lies here must have its size; stages whose files are elsewhere are no
  // error.
  CheckpointId write_manifest(const Manifest& manifest);
  // Manifest first, then the rest. False when there was no such step.
  bool remove_step(Step step);

  // Throw Error(corrupt) when the file does not check, Error(io) when it is not there.
  Manifest read_manifest(Step step) const;
  StageRecord read_record(Step step, StageIndex stage) const;
  std::filesystem::path step_directory(Step step) const;
  const std::filesystem::path& directory() const { return directory_; }
  const std::string& writer() const { return writer_; }

  static constexpr std::size_t kMinIdPrefix = 8;

 private:
  std::vector<Step> steps() const;  // ascending
  void refuse_link(Step step) const;
  FileRecord write_shard(const StageRecord& record, const std::string& name,
                         const std::vector<TensorInfo>& tensors, const TensorStream& read);
  void write_tokenizer(StageRecord& record, const std::string& bytes);
  void prepare_change(const StageRecord& record, const FileDigest& file);
  bool manifest_agrees(Step step, const FileDigest& file) const;
  bool record_agrees(Step step, StageIndex stage, const FileDigest& file) const;
  StageRecord write_files(const StageLayout& layout, const TensorStream& read);
  void remove_unclaimed(Step step, const std::vector<std::string>& names);
  void withdraw(Step step, StageIndex stage);
  void clear_leftovers(const std::filesystem::path& folder);

  os::Storage& storage_;
  std::filesystem::path directory_;
  std::string writer_;
  std::vector<std::string> written_;  // files of the write_stage() under way
};

// The one checkpoint whose id starts with `prefix`, or null. Throws Error(usage) when several do.
const StepInfo* match_id(std::span<const StepInfo> steps, std::string_view prefix);

// "step-00001200", and back (nothing else is a step's folder).
std::string step_name(Step step);
std::optional<Step> step_from_name(std::string_view name);

}  // namespace ptrain::ckpt
