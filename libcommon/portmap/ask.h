// What a mapping service is asked, and what came of it: values between those who decide what to ask
// when (mapping_keeper.h) and those who speak with the services (port_control.h, igd_worker.h).

#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>

#include "libcommon/portmap/mapped_port.h"

namespace ptrain::punch {

enum class Service { pcp, nat_pmp, upnp };  // in the order in which they are preferred

inline const char* name_of(Service service) {
  switch (service) {
    case Service::pcp:
      return "PCP";
    case Service::nat_pmp:
      return "NAT-PMP";
    case Service::upnp:
      return "UPnP";
  }
  return "";
}

// Which services there are is written down by number: a gateway's three are sources of their own.
using SourceNumber = std::size_t;

struct Look {  // is anybody there? Changes nothing.
  bool operator==(const Look&) const = default;
};
struct Map {
  Port port;
  std::chrono::seconds lifetime{};
  std::optional<Outside> wish{};  // what it had before
  bool operator==(const Map&) const = default;
};
struct Unmap {
  Port port;
  std::optional<std::uint16_t> outside_port{};  // where we know it
  bool operator==(const Unmap&) const = default;
};

struct Ask {
  SourceNumber source = 0;
  std::variant<Look, Map, Unmap> what;
  bool operator==(const Ask&) const = default;
};

struct Alive {
  std::optional<std::uint32_t> epoch_s{};  // seconds since it lost its mappings
  std::optional<net::AddressBytes> outside{};
  bool forgot = false;  // a mapping that it had is not there
  bool operator==(const Alive&) const = default;
};
struct Granted {
  Outside outside;
  std::chrono::seconds lifetime{};
  std::optional<std::uint32_t> epoch_s{};
  bool operator==(const Granted&) const = default;
};
struct Removed {
  bool operator==(const Removed&) const = default;
};
struct Refused {
  std::string reason;
  std::string cure{};  // where the service said enough to know one
  bool operator==(const Refused&) const = default;
};
struct Silent {
  bool operator==(const Silent&) const = default;
};

struct Outcome {
  SourceNumber source = 0;
  std::optional<Port> port{};  // none: of a Look
  bool removal = false;        // of an Unmap
  std::variant<Alive, Granted, Removed, Refused, Silent> what;
  bool operator==(const Outcome&) const = default;
};

}  // namespace ptrain::punch
