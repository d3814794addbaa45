// Metrics as JSON Lines: one object a line, its fields always in the same order,
// "kind" first ("step", "eval", "checkpoint",
// "path" or "done"). A number that is not finite is null.

#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "libcommon/metrics/step_record.h"
#include "libcommon/os/file_descriptor.h"

namespace ptrain::metrics {

// One line, without its newline.
std::string to_json_line(const StepRecord& record);
std::string to_json_line(const EvalRecord& record);
std::string to_json_line(const CheckpointRecord& record);
std::string to_json_line(const PathRecord& record);
std::string to_json_line(const DoneRecord& record);

// Owns the file; each line is appended with one write, so a reader that follows the file
// sees whole lines. One thread at a time. Throws Error(io) that names the file, a full disk
// included.
class JsonlWriter {
 public:
  // "-" is standard output. A file that is there already belongs to a run that goes on from
  // step `keep_up_to_step`: what it says of later steps, its "done" line, and a last line
  // that a killed process left unfinished are cut off. 0 starts it anew.
  explicit JsonlWriter(const std::filesystem::path& path, std::uint64_t keep_up_to_step = 0);

  void write(const StepRecord& record) { append(to_json_line(record)); }
  void write(const EvalRecord& record) { append(to_json_line(record)); }
  void write(const CheckpointRecord& record) { append(to_json_line(record)); }
  void write(const PathRecord& record) { append(to_json_line(record)); }
  void write(const DoneRecord& record) { append(to_json_line(record)); }

 private:
  void append(std::string line);

  std::string name_;
  os::FileDescriptor file_;
};

// The length of the leading lines of `text` that are whole and say something of a step, an
// evaluation, a checkpoint or a path of at most `step`.
std::size_t kept_prefix(std::string_view text, std::uint64_t step);

}  // namespace ptrain::metrics
