// The mapping services of some gateways, as sources by number: asks go to their sockets and
// threads, outcomes come back. One thread, the loop's; the loop outlives the object. What `came`
// does may not end it.

#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "libcommon/net/keys.h"
#include "libcommon/os/loop.h"
#include "libcommon/portmap/ask.h"
#include "libcommon/portmap/default_routes.h"
#include "libcommon/portmap/igd_worker.h"
#include "libcommon/portmap/port_control_socket.h"

namespace ptrain::punch {

// What proves to a PCP server that a mapping is ours: the same whenever this host asks that gateway
// for that port, so that who comes after a program that was killed can take its mapping over or
// remove it. It follows from the host's key, so nobody else can guess it.
PcpNonce mapping_nonce(const net::KeyPair& key, const net::AddressBytes& own,
                       const net::AddressBytes& gateway, const Port& port);

class GatewayServices {
 public:
  struct Source {
    Service service;
    std::size_t gateway;
  };
  using Came = std::function<void(const Outcome&)>;
  // All three services of an IPv4 gateway, PCP of an IPv6 one; gateways in the order in which they
  // are preferred. Those that there is no way to are left out.
  GatewayServices(os::Loop& loop, const std::vector<Gateway>& gateways, const net::KeyPair& key,
                  Came came);
  GatewayServices(const GatewayServices&) = delete;
  GatewayServices& operator=(const GatewayServices&) = delete;

  std::size_t size() const { return sources_.size(); }
  Service service(SourceNumber source) const { return sources_[source].service; }
  const Gateway& gateway(SourceNumber source) const;
  std::string name(SourceNumber source) const;  // "PCP at 192.168.1.1"
  std::vector<std::string> names() const;
  // Of a gateway with that address, the source that a word from there concerns first.
  std::vector<SourceNumber> at(const net::AddressBytes& address) const;

  void ask(const Ask& ask);
  // Precondition: the source is UPnP.
  void list(SourceNumber source, IgdWorker::Listed listed);

 private:
  struct Reached {
    Gateway gateway;
    std::unique_ptr<PortControlSocket> port_control;
    std::unique_ptr<IgdWorker> igd;
  };
  void add(os::Loop& loop, const Gateway& gateway, const net::KeyPair& key);
  void replied(std::size_t gateway, const PortControl::Reply& reply) const;

  std::vector<Reached> reached_;
  std::vector<Source> sources_;
  Came came_;
};

}  // namespace ptrain::punch
