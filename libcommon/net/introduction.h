// What two stages tell each other before anything else, and whether they belong together.
// Pure: values in, a verdict out.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ptrain::net {

// Two terms in words: in what they differ; empty where that cannot be said.
using ExplainTerms = std::string (*)(std::string_view ours, std::string_view theirs);

struct Introduction {
  std::string run;
  std::string job_hash;
  std::uint32_t stage_count = 0;
  std::string data_fingerprint;  // may be empty: then it is not compared
  // What the two hashes are of, as the application writes it. Never compared, only explained; a
  // peer of an earlier release says none. Only a peer that was admitted gets it.
  std::string terms{};
  ExplainTerms explain = nullptr;
  bool operator==(const Introduction&) const = default;
};

// The first difference that forbids a session, with both values in the text: "run 'a', ours is
// 'b'", "another job: optim.lr: 0.001 here, 0.0015 there", or the hashes where nobody can explain
// them; nullopt when there is none.
std::optional<std::string> mismatch(const Introduction& ours, const Introduction& theirs);

}  // namespace ptrain::net
