// PCP and NAT-PMP at one gateway, over a socket of its own in an event loop (port_control.h).
//
// The socket is connected: the kernel passes on only what comes from the gateway's own address and
// port. One thread, the loop's; the loop outlives the object. What `replied` does may not end it.

#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "libcommon/os/file_descriptor.h"
#include "libcommon/os/loop.h"
#include "libcommon/portmap/default_routes.h"
#include "libcommon/portmap/port_control.h"

namespace ptrain::punch {

// A socket that speaks with the gateway's port, and our address on the way there: for IPv6 one that
// the world reaches, since that is what is to be opened. Not valid where there is none.
struct GatewaySocket {
  os::FileDescriptor file;
  net::AddressBytes own{};
};
GatewaySocket open_gateway_socket(const Gateway& gateway);

class PortControlSocket {
 public:
  using Replied = std::function<void(const PortControl::Reply&)>;
  PortControlSocket(os::Loop& loop, GatewaySocket socket, PortControl::NonceOf nonce_of,
                    Replied replied);

  void ask(Service service, const decltype(Ask::what)& what);

 private:
  void read();
  void turn();
  void hand_out(const std::vector<PortControl::Reply>& replies);

  os::Loop& loop_;
  os::FileDescriptor socket_;
  PortControl control_;
  Replied replied_;
  std::unique_ptr<os::Loop::Timer> timer_;
  std::unique_ptr<os::Loop::Watch> watch_;
};

}  // namespace ptrain::punch
