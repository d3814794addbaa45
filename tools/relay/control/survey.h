// What the operator is told: JSON objects, a page of them at a time. Pure.

#pragma once

#include "libcommon/net/relay_protocol.h"
#include "tools/relay/control/registry.h"

namespace ptrain::relay {

struct RelayTotals;

// Fewer than fit in an answer, whatever their length.
inline constexpr std::size_t kSurveyLinesPerPage = 48;

net::answer::Surveyed survey(const net::request::Survey& asked, const Registry& registry,
                             const RelayTotals& totals, TimePoint now);

}  // namespace ptrain::relay
