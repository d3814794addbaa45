// What limits count by: an IPv4 address, or the /64 of an IPv6 address, since one host can have
// all of a /64. Text, as it is kept with registrations; pure.

#pragma once

#include <string>
#include <string_view>

namespace ptrain::relay {

// "192.0.2.7" of itself and of "::ffff:192.0.2.7", "2001:db8:0:1::/64" of "2001:db8:0:1::5". What
// is no address counts by itself.
std::string quota_address(std::string_view host);

}  // namespace ptrain::relay
