// SIGINT, SIGTERM and SIGHUP as a question that a loop can ask: has someone told us to stop?
//
// The first one is said on stderr, where that can take a word at once. What comes then follows
// stop_rules.h; a program that has not left kLeaveWithin after it is ended, with the same code.
// A signal that was ignored when the program began (nohup, or & in a script) stays ignored.
// One object per process, made by main before threads start. requested() may be called from
// any thread.

#pragma once

#include <chrono>

namespace ptrain::os {

// What takes longer is lost: whoever told us goes on to SIGKILL, or switches off.
inline constexpr std::chrono::seconds kLeaveWithin{10};

class StopSignal {
 public:
  // `program` is the name in "NAME: SIGTERM: stopping"; it must outlive the object (a string
  // literal).
  explicit StopSignal(const char* program);
  ~StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  bool requested() const { return signal_number() != 0; }
  // The first signal that came, or 0. A program that ends because of it ends with 128 + this.
  int signal_number() const;
};

}  // namespace ptrain::os
