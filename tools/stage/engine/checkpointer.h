// Saving behind the training and continuing from what was saved.
//
// save() copies the stage's state at a step boundary and returns; a worker writes the
// stage's files and sends their record to the driver, which derives the manifest from the
// records of all stages and sends it round; each stage then writes it beside its files. Only
// that makes the step exist (ptrain-checkpoint(5)). Nobody waits for another stage or for
// the tensors' way to the disk but finish(), and a save() that meets an unfinished one; only
// the manifest, a small file, is written by the calling thread.
//
// Borrows everything it is given. One thread. A save that fails surfaces as the storage's
// Error at the next call; the checkpoints before it stay whole.

#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "libcommon/base/log.h"
#include "libcommon/ckpt/background_writer.h"
#include "libcommon/ckpt/checkpoint_reader.h"
#include "libcommon/ckpt/snapshot.h"
#include "libcommon/ckpt/store.h"
#include "libcommon/job/job.h"
#include "libcommon/wire/training.h"
#include "tools/stage/engine/data_feed.h"
#include "tools/stage/engine/mailbox.h"
#include "tools/stage/engine/shard_source.h"
#include "tools/stage/model/stage_model.h"
#include "tools/stage/optim/adamw.h"

namespace ptrain::stage {

// What --resume says: continue from the newest checkpoint, begin anew, or this checkpoint.
struct ResumeMode {
  enum class Kind { automatic, none, named } kind = Kind::automatic;
  std::string name;  // of kind named: an id, a prefix of one, or a step
};
ResumeMode parse_resume_mode(const std::string& text);

struct SavedCheckpoint {
  Step step;
  std::string id;
  std::string weights_sha256;
  Duration time{};  // from save() until it was durable here; zero where it was resumed from
};

class Checkpointer {
 public:
  Checkpointer(const job::Job& job, const job::StageSpan& span, Mailbox& mailbox, StageModel& model,
               AdamW& optimiser, os::Storage& storage, Log& log, const Clock& clock);

  // From then on what is damaged or missing here is fetched, where it can be.
  void mend_from(ShardSource& source) { source_ = &source; }

  // Agrees with the other stages on where to begin and loads that state. Every stage calls
  // it once, first; `feed` is null where a stage has no data, and what the driver knows of
  // its own comes back on every stage. Throws Error(usage) when checkpoint.dir holds what this
  // job or its data cannot continue from, or must not write over; Error(corrupt) when it holds
  // checkpoints, and none that is whole.
  wire::ResumeChoice resume(const ResumeMode& mode, const DataFeed* feed);

  // Who is told of every checkpoint that has become durable here, from the thread that calls
  // poll(), save() or finish().
  void on_saved(std::function<void(const SavedCheckpoint&)> observer) {
    on_saved_ = std::move(observer);
  }
  // Copies the state and has it written; waits only for an earlier save that still runs.
  void save(Step step);
  // Moves finished saves on: records to a manifest, a manifest to the disk. Waits for nobody.
  void poll();
  // Waits until the checkpoint of `step`, the one that was saved or resumed from last, exists.
  SavedCheckpoint finish(Step step);

  std::filesystem::path directory(Step step) const { return store_.step_directory(step); }

 private:
  void mend_newest(const ResumeMode& mode);
  wire::ResumeOffer offer(const ResumeMode& mode) const;
  wire::ResumeChoice choose(const ResumeMode& mode, const wire::ResumeOffer& ours);
  std::optional<std::string> flaw_of(const ckpt::StepInfo& info) const;
  void check_lineage(const ckpt::Manifest& manifest) const;
  void load_or_mend(const wire::CheckpointName& checkpoint);
  void load(const wire::CheckpointName& checkpoint);
  std::string repair_hint(const wire::CheckpointName& checkpoint) const;
  void write_and_report(const ckpt::StageState& state);
  void collect_records();
  void settle(const ckpt::Manifest& manifest);

  const job::Job& job_;
  job::StageSpan span_;
  Mailbox& mailbox_;
  StageModel& model_;
  AdamW& optimiser_;
  os::Storage& storage_;
  Log& log_;
  const Clock& clock_;
  ShardSource* source_ = nullptr;       // may be none
  ckpt::CheckpointStore store_;         // this thread's
  ckpt::CheckpointStore writer_store_;  // the worker's
  ckpt::Snapshot snapshot_;
  std::string data_fingerprint_;  // of the training shards, once resume() knows it
  std::optional<Step> pending_;   // saved, without a manifest so far
  TimePoint pending_since_{};
  std::map<StageIndex, ckpt::StageRecord> records_;  // of pending_; the driver's
  std::mutex own_record_mutex_;
  std::optional<ckpt::StageRecord> own_record_;  // from the worker, the driver's
  std::optional<SavedCheckpoint> latest_;
  std::function<void(const SavedCheckpoint&)> on_saved_;
  ckpt::BackgroundWriter writer_;  // last: its worker uses the members above
};

}  // namespace ptrain::stage
