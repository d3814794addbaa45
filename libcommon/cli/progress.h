// One line on a terminal that is rewritten in place, for work that takes a while.
//
// Shows nothing when the descriptor is no terminal, or under --quiet, so a program need not
// ask. Draws at most once every kProgressInterval, except for the first text. It is dim where
// colour is wanted (terminal.h). One thread at a time. Terminal errors are ignored: progress never
// fails a program.

#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include <unistd.h>

#include "libcommon/base/clock.h"

namespace ptrain::cli {

inline constexpr Duration kProgressInterval = std::chrono::milliseconds(100);

class ProgressLine {
 public:
  // The clock must outlive the line.
  explicit ProgressLine(const Clock& clock, int fd = STDERR_FILENO);
  // Clears the line, unless finish() was called.
  ~ProgressLine();
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  // Whether anyone sees the line; where not, the text need not be made.
  bool active() const { return active_; }

  void update(std::string_view text);
  // Takes the line away, so that something else can be printed; the next update draws again.
  void clear();
  // A line that stays, on a terminal or not.
  void print(std::string_view line);
  // Leaves the latest text standing, drawn or not, and moves to the next line.
  void finish();

 private:
  void draw();

  const Clock& clock_;
  int fd_;
  bool active_;
  bool colour_;
  bool drawn_ = false;  // something stands on the line
  std::string text_;    // the latest, drawn or not
  std::optional<TimePoint> drawn_at_;
};

}  // namespace ptrain::cli
