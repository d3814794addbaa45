// What was tried to reach a peer, and what came of it: for people. Values.

#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "libcommon/base/clock.h"

namespace ptrain::net {

struct PathRung {
  std::string kind;                 // "announced", "lan", "ipv6", "outside", "reversed"
  std::string at;                   // "198.51.100.7:40123"
  std::string outcome;              // "connected", "no answer", ...
  std::string why{};                // more of that, in the system's words; may be empty
  std::optional<Duration> after{};  // since the attempt began
  bool works = false;
  bool operator==(const PathRung&) const = default;
};

struct PathReport {
  std::string role;   // whom it is about
  std::string key{};  // of that, in hexadecimal
  std::string nat;    // ours: how it chooses outer ports
  std::vector<PathRung> rungs;
  bool operator==(const PathReport&) const = default;
};

// Called on the network thread; must not wait.
using PathObserver = std::function<void(const PathReport&)>;

// "outside 198.51.100.7:40123 no answer; ..." of those that did not work.
std::string failures_text(const std::vector<PathRung>& rungs);

}  // namespace ptrain::net
