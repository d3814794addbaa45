// Standard output of a program that goes on after it has printed: a server's events, and the
// line by which it says that it is ready. Each is written at once.
//
// Nobody's listening is no reason to end: what cannot be written is said once on stderr, and
// written later where that works (os::LineSink). One thread at a time.

#pragma once

#include <string_view>

#include <nlohmann/json.hpp>

#include "libcommon/base/log.h"
#include "libcommon/os/line_sink.h"

namespace ptrain::cli {

class EventOutput {
 public:
  explicit EventOutput(Log& log);

  // What scripts wait for: without it they would wait in vain, so Error(io) where it cannot be
  // written. Nobody waits who has closed the output.
  void ready(std::string_view line);
  void line(std::string_view line) { sink_.append(line); }
  void event(const nlohmann::ordered_json& event);

 private:
  os::LineSink sink_;
};

}  // namespace ptrain::cli
