// SIGHUP as a question that a loop can ask: has someone told us to read our files again?
//
// One object per process, made by main before threads start.

#pragma once

namespace ptrain::os {

class ReloadSignal {
 public:
  ReloadSignal();
  ~ReloadSignal();
  ReloadSignal(const ReloadSignal&) = delete;
  ReloadSignal& operator=(const ReloadSignal&) = delete;

  // Whether the signal has come since the last call. Any thread.
  bool take();
};

}  // namespace ptrain::os
