// Lines that report what a program does, to a file, a pipe or a terminal. What only reports ends
// nothing: a line that cannot be written, on a full disk say, is kept, said once to the log, and
// written before the next one as soon as that works.
//
// Each line is one write, so a reader that follows the file sees whole lines. Kept are
// kMostKeptBytes at most: beyond them the newest lines are dropped, and counted. Where the reader
// has gone, or the descriptor was never open, nothing is kept. One thread at a time; the log
// outlives the object.

#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "libcommon/base/log.h"
#include "libcommon/os/file_descriptor.h"

namespace ptrain::os {

inline constexpr std::size_t kMostKeptBytes = std::size_t{1} << 20;

class LineSink {
 public:
  // `name` is how the log calls it: "metrics out/metrics.jsonl".
  LineSink(FileDescriptor file, std::string name, Log& log);
  // Tries once more to write what is kept, and says what is lost.
  ~LineSink();
  LineSink(const LineSink&) = delete;
  LineSink& operator=(const LineSink&) = delete;

  // `line` has no newline. Never throws.
  void append(std::string_view line);

  // Lines that are not in the file now: kept or dropped since it was last whole.
  std::uint64_t missing() const { return kept_lines_ + dropped_lines_; }
  // errno of the last attempt; 0 where it worked.
  int error() const { return error_; }
  int fd() const { return file_.get(); }

 private:
  void write_kept();
  void say_trouble();
  void say_relief();

  FileDescriptor file_;
  std::string name_;
  Log& log_;
  std::string kept_;  // whole lines, but for a first one that was written in part
  std::uint64_t kept_lines_ = 0;
  std::uint64_t dropped_lines_ = 0;
  std::uint64_t late_lines_ = 0;  // the most that were kept since it was last whole
  int error_ = 0;
  bool closed_ = false;  // for good
};

}  // namespace ptrain::os
