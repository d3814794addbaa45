// Addresses that the tests of ptrain-punch use.

#pragma once

#include "libcommon/portmap/mapped_port.h"

namespace ptrain::punch {

inline net::AddressBytes address(const char* text) { return *net::parse_address(text); }

inline const net::AddressBytes kOwn = address("192.168.1.2");
inline const net::AddressBytes kWorld = address("8.8.4.4");
inline constexpr Port kTcp{Transport::tcp, 7100};
inline constexpr Port kUdp{Transport::udp, 7101};

}  // namespace ptrain::punch
