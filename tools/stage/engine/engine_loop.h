// Where a stage waits, and nowhere else: takes in what its post brings, lets an activity work as
// long as it can, and sleeps until the next event.
//
// A wait ends in an Error: what a loss is when a stage is lost, one that says so when one has left
// without what is waited for, or Abandoned when this process was told to stop and what was under
// way did not end in time. It has no other limit: a neighbour that is alive may compute as long as
// it takes. Borrows everything. One thread.

#pragma once

#include <functional>
#include <optional>
#include <set>

#include "libcommon/base/error.h"
#include "tools/stage/engine/activity.h"
#include "tools/stage/engine/inbox.h"
#include "tools/stage/engine/post.h"
#include "tools/stage/engine/wait_meter.h"
#include "tools/stage/engine/wait_report.h"

namespace ptrain::stage {

class EngineLoop {
 public:
  EngineLoop(Post& post, Inbox& inbox, WaitMeter& meter, std::function<bool()> stop_requested,
             const Clock& clock);

  // Who hears of every wait.
  void report_waits_to(WaitReport& report) { report_ = &report; }

  // Returns when the activity is done.
  void run(Activity& activity);
  // The same without waiting: does one thing. False when there is none that can be done now.
  // Precondition: it is not done.
  bool turn(Activity& activity);

  // When a stop request was seen first.
  std::optional<TimePoint> stop_seen() const { return stop_seen_; }

 private:
  bool take_events(Duration timeout);
  void wait(Activity& activity);
  void wait_is_over();
  bool check_stop(Activity& activity);
  void check_losses(const Wait& wait) const;
  void say(const Wait& wait);

  Post& post_;
  Inbox& inbox_;
  WaitMeter& meter_;
  std::function<bool()> stop_requested_;
  const Clock& clock_;
  WaitReport* report_ = nullptr;
  std::optional<TimePoint> waits_since_;
  std::optional<TimePoint> said_at_;
  std::optional<TimePoint> stop_seen_;
  std::optional<Error> loss_;       // the first
  std::set<WorkerIndex> departed_;  // who has said goodbye
};

}  // namespace ptrain::stage
