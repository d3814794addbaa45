// Lines to a descriptor, written by a thread of its own, so that nobody who does not read them can
// hold up whoever has something to say.
//
// What does not fit into the queue is dropped and counted; when there is room again, `lost` says
// how many lines that were, in a line of its own. Any thread may put lines in; nothing blocks but
// the thread that writes, and at the end that is waited for no longer than kFlush.

#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "libcommon/base/clock.h"
#include "libcommon/base/log.h"
#include "libcommon/base/printable.h"
#include "libcommon/base/quiet.h"

namespace ptrain::relay {

inline constexpr std::size_t kMaxQueuedLineBytes = 1u << 20;
inline constexpr Duration kFlush = std::chrono::seconds(1);

class LineWriter {
 public:
  // The line for so many lost ones, without its end.
  using Lost = std::function<std::string(std::uint64_t lines)>;
  LineWriter(int fd, Lost lost, std::size_t max_bytes = kMaxQueuedLineBytes);
  ~LineWriter();
  LineWriter(const LineWriter&) = delete;
  LineWriter& operator=(const LineWriter&) = delete;

  // Without the end of the line.
  void put(std::string line);
  std::uint64_t dropped() const;  // in all

 private:
  struct State;
  static void write_lines(const std::shared_ptr<State>& state);

  std::shared_ptr<State> state_;  // the thread's, too: it may outlive the object, in write(2)
};

// StderrLog's lines, through a LineWriter.
class PatientLog final : public Log {
 public:
  PatientLog(std::string program, LineWriter& writer)
      : program_(std::move(program)), writer_(writer) {}
  void info(std::string_view line) override {
    if (!is_quiet()) writer_.put(program_ + ": " + printable(line));
  }
  void warning(std::string_view line) override {
    writer_.put(program_ + ": warning: " + printable(line));
  }

 private:
  std::string program_;
  LineWriter& writer_;
};

}  // namespace ptrain::relay
