// SIGHUP as a question that a loop can ask: has someone told us to read our files again?
//
// Of a server that nohup started, too: it goes on after the terminal is gone either way, and a
// signal that its manual promises must not be lost. One object per process, made by main before
// threads start, after the StopSignal, whose SIGHUP it takes.

#pragma once

#include <csignal>

namespace ptrain::os {

class ReloadSignal {
 public:
  ReloadSignal();
  ~ReloadSignal();
  ReloadSignal(const ReloadSignal&) = delete;
  ReloadSignal& operator=(const ReloadSignal&) = delete;

  // Whether the signal has come since the last call. Any thread.
  bool take();

 private:
  struct sigaction before_;
};

}  // namespace ptrain::os
