// Metrics as JSON Lines: one object a line, its fields always in the same order,
// "kind" first ("memory", "step", "eval", "checkpoint", "path" or "done"). A number that is not
// finite is null.

#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "libcommon/metrics/step_record.h"
#include "libcommon/os/line_sink.h"

namespace ptrain::metrics {

// One line, without its newline.
std::string to_json_line(const StepRecord& record);
std::string to_json_line(const MemoryRecord& record);
std::string to_json_line(const EvalRecord& record);
std::string to_json_line(const CheckpointRecord& record);
std::string to_json_line(const PathRecord& record);
std::string to_json_line(const LinkRecord& record);
std::string to_json_line(const DoneRecord& record);

// Owns the file. A file that cannot be opened is an Error(io) before the work begins; what cannot
// be written later, because the disk is full, is kept and said, and ends nothing (os::LineSink).
// One thread at a time; the log outlives the object.
class JsonlWriter {
 public:
  // "-" is standard output. A file that is there is left as it is.
  JsonlWriter(const std::filesystem::path& path, Log& log);

  // A file that is there already belongs to a run that goes on from `step`: what it says of later
  // steps, its "done" line, and a last line that a killed process left unfinished are cut off. 0
  // starts it anew. Before the first write; throws Error(io).
  void cut_back_to(std::uint64_t step);

  // Whether the file says what an evaluation after that step found. What cannot be read again, a
  // pipe or a terminal, says so of every step.
  bool has_evaluation(std::uint64_t step) const;

  void write(const StepRecord& record) { append(to_json_line(record)); }
  void write(const MemoryRecord& record) { append(to_json_line(record)); }
  void write(const EvalRecord& record) { append(to_json_line(record)); }
  void write(const CheckpointRecord& record) { append(to_json_line(record)); }
  void write(const PathRecord& record) { append(to_json_line(record)); }
  void write(const LinkRecord& record) { append(to_json_line(record)); }
  void write(const DoneRecord& record) { append(to_json_line(record)); }

  // Lines that are not in the file, because it cannot be written.
  std::uint64_t missing() const { return sink_.missing(); }

 private:
  void append(std::string_view line) { sink_.append(line); }

  std::filesystem::path path_;
  os::LineSink sink_;
};

// The length of the leading lines of `text` that are whole and say something of a step, of memory,
// an evaluation, a checkpoint or a path of at most `step`.
std::size_t kept_prefix(std::string_view text, std::uint64_t step);
// Whether a line of it is of an evaluation after that step.
bool has_evaluation(std::string_view text, std::uint64_t step);

}  // namespace ptrain::metrics
