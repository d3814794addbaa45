// A fetch as the person before the terminal sees it: a line that says how far it is, an end
// when they press Ctrl-C, and a record of what came of it.

#pragma once

#include <nlohmann/json.hpp>

#include "libcommon/base/clock.h"
#include "libcommon/base/log.h"
#include "libcommon/cli/progress.h"
#include "libcommon/os/stop_signal.h"
#include "libcommon/os/storage.h"
#include "libcommon/transfer/fetch.h"

namespace ptrain::ckpt_tool {

// One object per command, made before any thread is.
class FetchWork {
 public:
  // Sets the progress, stop, storage and clock of `options`; throws as transfer::fetch does, and
  // cli::EarlyEnd when a signal came.
  transfer::FetchResult fetch(transfer::FetchOptions options);
  std::optional<transfer::Entry> find(transfer::FetchOptions options);

  bool stop_requested() const { return stop_.requested(); }
  int stop_code() const { return 128 + stop_.signal_number(); }
  os::Storage& storage() { return storage_; }
  Log& log() { return log_; }

 private:
  void show(const transfer::FetchProgress& progress, TimePoint begun);

  os::StopSignal stop_{"ptrain-ckpt"};
  SteadyClock clock_;
  StderrLog log_{"ptrain-ckpt"};
  os::PosixStorage storage_{&log_};
  cli::ProgressLine line_{clock_};
};

nlohmann::ordered_json to_json(const transfer::FetchResult& result);
// "step-00000007 is whole: 12.3 MB fetched from 2 holders", and a line for each repaired chunk.
std::string to_text(const transfer::FetchResult& result);

}  // namespace ptrain::ckpt_tool
