// Where a socket is bound for a host that was given by name.
//
// libzmq binds to numeric addresses and interfaces only. A file of endpoints holds what others
// dial, and that need not be an address of this host: a router or a cloud forwards a port, or the
// host knows itself as 127.0.1.1, where nobody else comes in, as Debian installs it. Then all
// addresses are listened at: keys say who is let in, whatever the address. "localhost" is never
// widened, for what is bound there may do without keys.
//
// Free functions; the look-up of a name may take kListenLookupLimit.

#pragma once

#include <functional>
#include <string>

#include "libcommon/base/clock.h"

namespace ptrain::net {

inline constexpr Duration kListenLookupLimit = std::chrono::seconds(5);

struct ListenAddress {
  std::string host;    // numeric, or an interface's name
  std::string remark;  // what people should know; empty where the host is what was asked for

  bool operator==(const ListenAddress&) const = default;
};

// What can be known of a host; a test has another.
struct NameKnowledge {
  std::function<bool(const std::string&)> is_interface;     // "eth0"
  std::function<bool(const std::string&)> is_address_here;  // "192.0.2.1"
  std::function<std::string(const std::string&)> look_up;   // empty: no address is known
};

// Pure.
ListenAddress listen_address(const std::string& host, const NameKnowledge& knowledge);
// With what this host knows.
ListenAddress listen_address(const std::string& host, const Clock& clock);

}  // namespace ptrain::net
