// What both sides of a test have in common: how they introduce themselves, what they are called
// among the members of a run, and what a message of theirs weighs.

#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "libcommon/base/units.h"
#include "libcommon/net/introduction.h"
#include "libcommon/wire/probe.h"

namespace ptrain::probe {

// What both say in their hello: nobody takes a server of probes for a stage.
net::Introduction introduction();

// The places of the hello.
inline constexpr StageIndex kServerPlace{0};
inline constexpr StageIndex kAskerPlace{1};

// The roles of both among the members of a run begin so; the rest is a name, or drawn.
inline constexpr std::string_view kServerRoles = "probe-";
inline constexpr std::string_view kAskerRoles = "prober-";
std::string draw_name();
// 1 to 32 small letters, digits and '-': what a server may be called.
bool is_name(std::string_view text);
inline constexpr std::size_t kMaxNameChars = 32;

// What TCP carries for a message besides its payload: a header of Cap'n Proto, and what ZMTP and
// CURVE add to its two parts (tests/unit/probe compares it with the node's own meter). A rate is
// that of all TCP carries, so that it is what iperf3 says, and what a job's large messages get.
inline constexpr std::uint64_t kCarriedBesides = 232;
constexpr std::uint64_t carried(std::uint64_t payload_bytes) {
  return payload_bytes + kCarriedBesides;
}

// The lower of both, of each.
wire::ProbeLimits lower_of(const wire::ProbeLimits& a, const wire::ProbeLimits& b);

}  // namespace ptrain::probe
