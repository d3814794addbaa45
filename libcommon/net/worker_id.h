// Which process a peer is, everywhere above the sockets: its host's public key and its worker name.
//
// One host may run several workers. Where nobody has a key (loopback, socket files) the name is all
// there is; of a peer that was only ever given as an endpoint, the endpoint stands for its name.
// A value.

#pragma once

#include <compare>
#include <optional>
#include <string>

#include "libcommon/net/endpoint.h"

namespace ptrain::net {

struct WorkerId {
  std::optional<PublicKey> key;
  std::string name;
  auto operator<=>(const WorkerId&) const = default;

  // Whoever answers there.
  static WorkerId at(const Endpoint& endpoint) { return {endpoint.key, zmq_address(endpoint)}; }
};

}  // namespace ptrain::net
