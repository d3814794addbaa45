#include "libcommon/portmap/gateway_services.h"

#include <algorithm>
#include <cstddef>
#include <span>
#include <utility>

#include <fmt/format.h>

#include "libcommon/base/keyed_hash.h"

namespace ptrain::punch {

PcpNonce mapping_nonce(const net::KeyPair& key, const net::AddressBytes& own,
                       const net::AddressBytes& gateway, const Port& port) {
  const std::string info = fmt::format("ptrain-punch nonce {} {} {}", address_text(own),
                                       address_text(gateway), to_string(port));
  const Sha256Digest digest = hkdf_sha256(std::as_bytes(std::span(key.secret_key())), info);
  PcpNonce nonce;
  for (std::size_t i = 0; i < nonce.size(); ++i) {
    nonce[i] = std::to_integer<std::uint8_t>(digest[i]);
  }
  return nonce;
}

GatewayServices::GatewayServices(os::Loop& loop, const std::vector<Gateway>& gateways,
                                 const net::KeyPair& key, Came came)
    : came_(std::move(came)) {
  for (const Gateway& gateway : gateways) add(loop, gateway, key);
}

void GatewayServices::add(os::Loop& loop, const Gateway& gateway, const net::KeyPair& key) {
  GatewaySocket socket = open_gateway_socket(gateway);
  if (!socket.file.valid()) return;
  const std::size_t number = reached_.size();
  const net::AddressBytes own = socket.own;
  Reached reached{.gateway = gateway, .port_control = {}, .igd = {}};
  reached.port_control = std::make_unique<PortControlSocket>(
      loop, std::move(socket),
      [key, own, at = gateway.address](const Port& port) {
        return mapping_nonce(key, own, at, port);
      },
      [this, number](const PortControl::Reply& reply) { replied(number, reply); });
  sources_.push_back({.service = Service::pcp, .gateway = number});
  if (is_v4(gateway.address)) {
    sources_.push_back({.service = Service::nat_pmp, .gateway = number});
    sources_.push_back({.service = Service::upnp, .gateway = number});
    reached.igd = std::make_unique<IgdWorker>(loop, gateway.address, own);
  }
  reached_.push_back(std::move(reached));
}

void GatewayServices::replied(std::size_t gateway, const PortControl::Reply& reply) const {
  for (SourceNumber i = 0; i < sources_.size(); ++i) {
    if (sources_[i].gateway != gateway || sources_[i].service != reply.service) continue;
    return came_({.source = i, .port = reply.port, .removal = reply.removal, .what = reply.what});
  }
}

void GatewayServices::ask(const Ask& ask) {
  const Source& source = sources_[ask.source];
  const Reached& reached = reached_[source.gateway];
  if (source.service != Service::upnp) return reached.port_control->ask(source.service, ask.what);
  Outcome outcome{.source = ask.source, .what = Silent{}};
  if (const auto* wanted = std::get_if<Map>(&ask.what)) outcome.port = wanted->port;
  if (const auto* gone = std::get_if<Unmap>(&ask.what)) {
    outcome.port = gone->port;
    outcome.removal = true;
  }
  reached.igd->ask(ask.what, [this, outcome](const decltype(Outcome::what)& what) {
    Outcome came = outcome;
    came.what = what;
    came_(came);
  });
}

void GatewayServices::list(SourceNumber source, IgdWorker::Listed listed) {
  reached_[sources_[source].gateway].igd->list(std::move(listed));
}

const Gateway& GatewayServices::gateway(SourceNumber source) const {
  return reached_[sources_[source].gateway].gateway;
}

std::string GatewayServices::name(SourceNumber source) const {
  return fmt::format("{} at {}", name_of(service(source)), to_string(gateway(source)));
}

std::vector<std::string> GatewayServices::names() const {
  std::vector<std::string> names;
  for (SourceNumber i = 0; i < sources_.size(); ++i) names.push_back(name(i));
  return names;
}

std::vector<SourceNumber> GatewayServices::at(const net::AddressBytes& address) const {
  std::vector<SourceNumber> found;
  for (SourceNumber i = 0; i < sources_.size(); ++i) {
    if (gateway(i).address == address) found.push_back(i);
  }
  return found;
}

}  // namespace ptrain::punch
