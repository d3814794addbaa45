// Where a peer is, and which key proves that it is the peer: one printable word.
//
//   tcp://HOST:PORT#KEY                       direct: bind on one side, connect on the other
//   tcp://0.0.0.0:LPORT;HOST:PORT#KEY         punched: both sides connect from a fixed port
//   socks5://RELAY:PORT/TOKEN#KEY             through a relay
//   ipc://PATH                                this host only
//
// KEY is the peer's CURVE public key in lower-case hexadecimal (64 digits), which
// no shell needs quotes for. A value: copied, compared, printed as it was parsed.

#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ptrain::net {

using PublicKey = std::array<std::uint8_t, 32>;

std::string to_hex(const PublicKey& key);
// nullopt unless `text` is exactly 64 hexadecimal digits.
std::optional<PublicKey> parse_public_key(std::string_view text);

enum class EndpointKind { direct, punched, relayed, ipc };

struct Endpoint {
  EndpointKind kind = EndpointKind::direct;
  std::string host;        // direct, punched: the remote; relayed: the relay; IPv6 in brackets
  std::uint16_t port = 0;  // 0 asks a listener for any free port
  std::uint16_t local_port = 0;  // punched only
  std::string token;             // relayed only
  std::string path;              // ipc only
  std::optional<PublicKey> key;

  bool operator==(const Endpoint&) const = default;

  // Loopback or ipc: bytes that never leave this machine, so a plain socket is allowed.
  bool is_local() const;
};

// Throws Error(usage) that names the text, what is wrong with it, and the allowed forms.
Endpoint parse_endpoint(std::string_view text);
std::string to_string(const Endpoint& endpoint);
// The address in libzmq's words, without the key. Precondition: direct or ipc.
std::string zmq_address(const Endpoint& endpoint);

inline constexpr std::size_t kMaxEndpointChars = 512;

}  // namespace ptrain::net
