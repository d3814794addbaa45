// UPnP's mappings (WANIPConnection, WANPPPConnection) at one gateway, through miniupnpc. Each call
// blocks for some seconds at worst, so it is made on a thread of its own (igd_worker.h).
//
// Anybody on the LAN may answer a search and say that an internet gateway is elsewhere: only what
// lies at the gateway's own address is asked anything.

#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libcommon/portmap/ask.h"

namespace ptrain::punch {

inline constexpr const char* kIgdDescription = "ptrain-punch";
inline constexpr int kMaxListedMappings = 512;

struct ListedMapping {
  Port inside;
  std::uint16_t outside_port = 0;
  std::string client;
  std::string description;
  std::string lease_s;  // as the gateway says it: "0" is for good
};

// "192.168.1.1" of "http://192.168.1.1:5000/root.xml"; empty of what has no such form. Pure.
std::string_view host_of_url(std::string_view url);
// "ConflictInMappingEntry (718): ..." Pure.
std::string igd_error_text(int code);

class Igd {
 public:
  using What = decltype(Outcome::what);
  // `own` is our address on the gateway's net, from where the search goes out.
  Igd(const net::AddressBytes& gateway, const net::AddressBytes& own);

  What look();
  What map(const Map& wanted);
  // Removes only what leads to this host. Without the outside port, all mappings of that port.
  What unmap(const Unmap& wanted);
  std::vector<ListedMapping> list();

 private:
  struct Found {
    std::string control_url;
    std::string service_type;
    std::string own;  // our address, as the gateway sees it
  };
  bool find();
  std::optional<Found> at(const std::string& description_url) const;
  int add(const Map& wanted, std::uint16_t outside_port);
  bool leads_here(const Port& inside, std::uint16_t outside_port);
  What remove(const Port& inside, std::uint16_t outside_port);
  std::optional<net::AddressBytes> outside_address();

  std::string gateway_;
  std::string own_;
  std::optional<Found> found_;
  std::map<Port, std::uint16_t> held_;  // what we have mapped, by its outside port
};

}  // namespace ptrain::punch
