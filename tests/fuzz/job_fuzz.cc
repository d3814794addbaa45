// Any text as a job file: it becomes a Job that can be hashed and cut, or an Error
// of kind usage; nothing else. What follows a line "%%" is overrides, one a line.

#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "libcommon/base/error.h"
#include "libcommon/job/job_file.h"
#include "libcommon/job/partition.h"

namespace {

std::vector<std::string> lines(std::string_view text) {
  std::vector<std::string> result;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    result.emplace_back(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return result;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ptrain;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  // model.config names a file, and a file could be a device that never ends.
  if (input.find("config") != std::string_view::npos) return 0;
  constexpr std::string_view kSeparator = "\n%%\n";
  const std::size_t end = input.find(kSeparator);
  std::vector<std::string> overrides;
  if (end != std::string_view::npos) overrides = lines(input.substr(end + kSeparator.size()));
  try {
    const job::Job parsed = job::parse_job(input.substr(0, end), "fuzz.toml", overrides);
    if (job::job_hash(parsed).size() != 64) std::abort();
    const std::size_t stages = parsed.pipeline.layers.empty() ? 1 : parsed.pipeline.layers.size();
    if (job::partition(parsed, stages).back().layer_end != parsed.model.num_hidden_layers) {
      std::abort();
    }
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::usage) std::abort();
  }
  return 0;
}
