// Work on many bytes, as the person before the terminal sees it: a line that says how far it
// is, and an end when they press Ctrl-C.

#pragma once

#include <string>

#include "libcommon/base/clock.h"
#include "libcommon/ckpt/progress.h"
#include "libcommon/cli/progress.h"
#include "libcommon/os/stop_signal.h"

namespace ptrain::ckpt_tool {

// One object per command, made before any thread is.
class ByteWork {
 public:
  // Begins a piece of work: "verify step-00001200" on `total` bytes.
  void begin(std::string what, ByteCount total);
  // Takes the line away, to print something else.
  void clear() { line_.clear(); }
  // To be told of bytes as they are done; throws cli::EarlyEnd when a signal came. Refers to this.
  ckpt::Progress progress();

 private:
  void count(ByteCount bytes);

  os::StopSignal stop_{"ptrain-ckpt"};
  SteadyClock clock_;
  cli::ProgressLine line_{clock_};
  std::string what_;
  ByteCount total_;
  ByteCount done_;
  TimePoint begun_;
};

}  // namespace ptrain::ckpt_tool
