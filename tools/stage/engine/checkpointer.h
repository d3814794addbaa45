// Saving behind the training and continuing from what was saved.
//
// save() copies the stage's state at a step boundary and returns; a worker writes the
// stage's files and sends their record to the driver, which derives the manifest from the
// records of all stages and sends it round; each stage then writes it beside its files. Only
// that makes the step exist (ptrain-checkpoint(5)). Nothing here waits for another stage: poll()
// moves on what can be moved on, and pending_on() says what is missing. Only the manifest, a small
// file, is written by the calling thread.
//
// A stage that cannot write its files, because the disk is full, says so instead of sending its
// record, and the driver tells all: what the stages wrote of that step is removed, the checkpoints
// before it stay whole, the training goes on, and the next save is tried as if nothing had been.
// Only saved(), which the run's end asks for, throws it as an Error(io).
//
// A stage that has lost the others keeps its share of the last step that it made (keep_share()),
// without a manifest. When they meet again, they make the manifest of the newest step of which
// all of them hold their shares, if that is newer than the newest checkpoint that they hold.
//
// Who holds a stage in other lanes than 0 writes nothing: it takes the state to go on from of the
// worker that leads the stage, and hears of the manifests.
//
// Borrows everything it is given. One thread. Any other failure of a save surfaces as its Error at
// the next call.

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
#include "tools/stage/engine/activity.h"
#include "tools/stage/engine/cell_state.h"
#include "tools/stage/engine/inbox.h"
#include "tools/stage/engine/job_data.h"
#include "tools/stage/engine/post.h"
#include "tools/stage/engine/run_tokenizer.h"
#include "tools/stage/engine/shard_source.h"
#include "tools/stage/engine/stage_share.h"
#include "tools/stage/engine/state_transfer.h"
#include "tools/stage/engine/what_is_lost.h"

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
  Checkpointer(const job::Job& job, const job::StageSpan& span, Post& post, Inbox& inbox,
               CellState& cell, os::Storage& storage, Log& log, const Clock& clock);

  // From then on what is damaged or missing here is fetched, where it can be.
  void mend_from(ShardSource& source) { source_ = &source; }

  // The stages agree on where to begin, and each loads that state, or the first one. Every stage
  // calls begin_resume() once, first, and then resume() until it has a choice; `data` is null where
  // a stage has none, and what the driver knows of its own comes back on every stage. They throw
  // Error(usage) when checkpoint.dir holds what this job or its data cannot continue from, or must
  // not write over; Error(corrupt) when it holds checkpoints, and none that is whole.
  void begin_resume(const ResumeMode& mode, const JobData* data);
  std::optional<wire::ResumeChoice> resume();
  Wait resume_waits_for() const;

  // Who knows whether the evaluation after a step was made: where not, a run that goes on from
  // there begins with it. The driver's; without it all were.
  void evaluated_where(std::function<bool(Step)> evaluated) { evaluated_ = std::move(evaluated); }

  // The canonical JSON of the job that saved what was resumed from; empty in a run that began anew.
  const std::string& resumed_job() const { return resumed_job_; }

  // Who is told of every checkpoint that has become durable here, from the thread that calls
  // poll().
  void on_saved(std::function<void(const SavedCheckpoint&)> observer) {
    on_saved_ = std::move(observer);
  }
  // Saves that did not become a checkpoint.
  std::uint64_t failures() const { return failures_; }
  // Whether the last save has become neither that nor a checkpoint so far.
  bool saving() const { return pending_.has_value(); }

  // Copies the state and has it written. Precondition: no earlier save is under way.
  void save(Step step);
  // Moves a save on: records to a manifest, a manifest to the disk.
  void poll();
  // What the save under way waits for; precondition: saving(), and poll() could not move it.
  Wait pending_on() const;
  void await_disk(Duration at_most) const { writer_.idle_within(at_most); }
  // The checkpoint of `step`, the one that was saved or resumed from last. Throws Error(io) where
  // it could not be saved. Precondition: !saving().
  SavedCheckpoint saved(Step step) const;

  // Without the other stages, who are lost: makes this stage's files of `step`, the state as it is
  // now, durable, and asks check() ten times a second whether it may go on. What goes wrong with
  // the files is a warning.
  void keep_share(Step step, const std::function<void()>& check);
  // What there is of it all when the run has ended at `step`.
  LeftBehind left_behind(Step step) const;

  std::filesystem::path directory(Step step) const { return store_.step_directory(step); }

 private:
  void mend_newest(const ResumeMode& mode);
  wire::ResumeOffer offer(const ResumeMode& mode) const;
  std::optional<wire::ResumeChoice> choose();
  std::optional<wire::ResumeChoice> await_choice();
  void refuse_to_write_over(const std::vector<ckpt::StepInfo>& steps, Step first,
                            const std::string& resumed) const;
  std::optional<std::string> flaw_of(const ckpt::StepInfo& info) const;
  void check_lineage(const ckpt::Manifest& manifest) const;
  void offer_shares(wire::ResumeOffer& offer, const std::vector<ckpt::StepInfo>& steps) const;
  std::optional<std::string> run_of_share(Step step) const;
  bool has_saved(Step step) const;
  void begin_seal(Step step);
  std::string sealed(Step step) const;
  void discard_shares_before(Step step);
  ckpt::StageState snapshot(Step step);
  void await_writer(const std::function<void()>& check);
  void send_to_all(wire::MessageKind kind, Step step, std::span<const std::byte> payload);
  Wait await(const wire::MessageName& name) const;
  void load_or_mend(const wire::CheckpointName& checkpoint);
  void load(const wire::CheckpointName& checkpoint);
  std::string repair_hint(const wire::CheckpointName& checkpoint) const;
  void write_and_report(const ckpt::StageState& state);
  void report(Step step, std::string record);
  void collect_records();
  void conclude(std::string_view answer);
  void settle(const ckpt::Manifest& manifest);
  void give_up(const std::string& why);

  const job::Job& job_;
  job::StageSpan span_;
  Post& post_;
  Inbox& inbox_;
  CellState& cell_;
  os::Storage& storage_;
  Log& log_;
  const Clock& clock_;
  ShardSource* source_ = nullptr;       // may be none
  ckpt::CheckpointStore store_;         // this thread's
  ckpt::CheckpointStore writer_store_;  // the worker's
  ckpt::Snapshot snapshot_;
  std::optional<RunTokenizer> tokenizer_;           // where this stage embeds
  const JobData* data_ = nullptr;                   // may be none
  ResumeMode mode_;                                 // of begin_resume()
  wire::ResumeOffer offer_;                         // ours
  std::map<StageIndex, wire::ResumeOffer> offers_;  // of the others, the driver's
  std::optional<wire::ResumeChoice> choice_;
  std::optional<StateHandOut> handing_out_;   // where we lead the stage
  std::optional<StateTakeOver> taking_over_;  // where another one does
  std::function<bool(Step)> evaluated_ = [](Step) { return true; };
  std::string resumed_job_;
  std::string data_fingerprint_;  // of the training shards, once resume() knows it
  std::optional<Step> pending_;   // saved, without a manifest so far
  TimePoint pending_since_{};
  bool sealing_ = false;      // pending_ was saved by an earlier process
  std::vector<Step> shares_;  // without a manifest when the run began, as far as they were ours
  // What the stages said of pending_, in the bytes of a message; the driver's.
  std::map<StageIndex, std::string> reports_;
  std::mutex own_report_mutex_;
  std::optional<std::string> own_report_;  // from the worker, the driver's
  std::uint64_t failures_ = 0;
  std::string failure_;  // of the save that failed last
  std::optional<SavedCheckpoint> latest_;
  std::function<void(const SavedCheckpoint&)> on_saved_;
  ckpt::BackgroundWriter writer_;  // last: its worker uses the members above
};

}  // namespace ptrain::stage
