// Why a plan is as it is: what limits it, what would help, what each host is worth. Pure.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "libcommon/plan/search.h"

namespace ptrain::plan {

// What takes the largest part of the step.
struct Limit {
  std::string what;  // "the computing of east", "the way out of east", "the link east to west"
  double busy = 0;   // part of the step
};

Limit limit_of(const Costs& costs, const Found& found);

// These hosts in this order, cut as well as a moment allows. nullopt: impossible.
std::optional<Found> on_hosts(const Costs& costs, std::size_t micro,
                              const std::vector<std::uint32_t>& hosts);

// "what_if": what changes of a link or of the hosts would bring, as [{change, tokens_per_s}].
nlohmann::ordered_json what_if(const Costs& costs, const Found& found);

// "losses": the speed without each host, as [{host, tokens_per_s, instead}]; without tokens_per_s
// where nothing takes its place.
nlohmann::ordered_json losses(const Costs& costs, const Found& found);

// Why a host that could take part does not.
std::string why_unused(const Costs& costs, const Found& found, std::uint32_t host);

}  // namespace ptrain::plan
