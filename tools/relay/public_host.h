// The host by which others dial a relay, as its operator writes it. Pure.

#pragma once

#include <string>
#include <string_view>

namespace ptrain::relay {

// A host's name or address as endpoints have it: an IPv6 address in brackets, with or without them
// in `text`. Throws Error(usage) for what others cannot dial, or what is more than a host: a
// scheme, a port, a blank.
std::string parse_public_host(std::string_view text);

}  // namespace ptrain::relay
