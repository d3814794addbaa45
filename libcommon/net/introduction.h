// What two stages tell each other before anything else, and whether they belong together.
// Pure: values in, a verdict out.

#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace ptrain::net {

struct Introduction {
  std::string run;
  std::string job_hash;
  std::uint32_t stage_count = 0;
  std::string data_fingerprint;  // may be empty: then it is not compared
  bool operator==(const Introduction&) const = default;
};

// The first difference that forbids a session, with both values in the text:
// "job hash 3f.., ours is 9a.."; nullopt when there is none.
std::optional<std::string> mismatch(const Introduction& ours, const Introduction& theirs);

}  // namespace ptrain::net
