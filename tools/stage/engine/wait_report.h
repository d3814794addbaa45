// What one hears of a run that waits: for whom, for how long, and that a link is lost and back. On
// a terminal that is a line which is rewritten; elsewhere lines in intervals that double, so that a
// night's outage does not fill a log.
//
// Asked about ten times a second by whoever waits. One thread.

#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libcommon/base/clock.h"
#include "libcommon/base/log.h"
#include "libcommon/cli/progress.h"
#include "libcommon/net/mesh.h"

namespace ptrain::stage {

// Of stages that have not appeared, and of lost links.
inline constexpr Duration kFirstWordAfter = std::chrono::seconds(1);
// Computing takes its time: only a wait that is twice as long as all before is worth a word.
inline constexpr Duration kUsualWait = std::chrono::seconds(10);

enum class Drawing { on_terminals, never };

class WaitReport {
 public:
  // What it borrows outlives it. Tests give a descriptor of their own.
  WaitReport(Drawing drawing, Log& log, const Clock& clock, int fd = STDERR_FILENO);

  // Stages have not appeared; `who` names them.
  void absent(std::string_view who, TimePoint since, TimePoint ends);
  // A message that is needed next, or whatever `what` names, has not come.
  void waiting(std::string_view what, TimePoint since);
  void lost_links(const std::vector<net::LostLink>& lost);
  // What was waited for is there.
  void over(TimePoint since);

  // Whether a link was lost when lost_links() was last called.
  bool link_is_lost() const { return !lost_.empty(); }

 private:
  void say_in_intervals(const std::string& text, Duration waited, Duration first);
  void say(const std::string& line);

  bool draws_;
  Log& log_;
  const Clock& clock_;
  cli::ProgressLine line_;
  std::optional<TimePoint> since_;  // of the wait that is spoken of
  Duration next_{};                 // so long it must last for the next word
  Duration longest_{};              // wait for a message, of those that came over links that held
  bool disturbed_ = false;          // this wait is not one of them
  struct Loss {
    std::string called;
    TimePoint since;
    bool said = false;
  };
  std::map<StageIndex, Loss> lost_;
};

// "waiting for other stages for 12 s, gives up in 48 s: stage 1 did not dial tcp://10.0.0.2:7001"
std::string absence_text(std::string_view who, Duration waited, Duration left);
// "waiting for 31 s for activation of step 12, microbatch 3, from stage 0"
std::string waiting_text(std::string_view what, Duration waited);
// "link lost to stage 1 (tcp://10.0.0.2:7001), trying again since 12 s, gives up in 288 s"
std::string lost_link_text(const net::LostLink& link, TimePoint now);

}  // namespace ptrain::stage
