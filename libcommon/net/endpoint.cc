#include "libcommon/net/endpoint.h"

#include <charconv>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/net/address_reach.h"

namespace ptrain::net {
namespace {

constexpr std::size_t kKeyDigits = 2 * std::tuple_size_v<PublicKey>;
constexpr std::size_t kMaxTokenChars = 64;
// sun_path's 108 bytes, less the terminating zero.
constexpr std::size_t kMaxIpcPathBytes = 107;

[[noreturn]] void refuse(std::string_view text, std::string_view why) {
  throw Error(ErrorKind::usage, fmt::format("endpoint '{}': {}", text, why),
              "allowed are tcp://HOST:PORT#KEY, 'tcp://0.0.0.0:LPORT;HOST:PORT#KEY', "
              "socks5://RELAY:PORT/TOKEN#KEY and ipc://PATH");
}

bool consume_prefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

std::uint16_t parse_port(std::string_view whole, std::string_view port) {
  std::uint16_t value = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), value);
  if (error != std::errc() || end != port.data() + port.size()) {
    refuse(whole, fmt::format("port '{}' is no number from 0 to 65535", port));
  }
  return value;
}

bool is_host_char(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' || c == '-' || c == '_' ||
         c == '*' || c == ':' || c == '[' || c == ']' || c == '%';
}

// In brackets, with or without a scope: [fe80::1%eth0].
bool is_v6_address(std::string_view host) {
  if (!host.ends_with(']')) return false;
  const std::string_view bare = host.substr(1, host.size() - 2);
  return bare.find(':') != std::string_view::npos &&
         parse_address(bare.substr(0, bare.find('%'))).has_value();
}

struct HostPort {
  std::string host;
  std::uint16_t port;
};

HostPort parse_host_port(std::string_view whole, std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) refuse(whole, "it has no :PORT");
  const std::string_view host = text.substr(0, colon);
  if (host.empty()) refuse(whole, "it has no host");
  for (const char c : host) {
    if (!is_host_char(c)) refuse(whole, fmt::format("'{}' is no host", host));
  }
  const bool bracketed = host.front() == '[' && host.back() == ']';
  if (host.find(':') != std::string_view::npos && !bracketed) {
    refuse(whole, "an IPv6 address needs brackets, as in tcp://[::1]:7000");
  }
  // libzmq would look such a name up, in the thread that serves all connections.
  if (host.front() == '[' && !is_v6_address(host)) {
    refuse(whole, fmt::format("'{}' is no IPv6 address", host));
  }
  return {std::string(host), parse_port(whole, text.substr(colon + 1))};
}

Endpoint parse_tcp(std::string_view whole, std::string_view text) {
  Endpoint endpoint;
  const std::size_t semicolon = text.find(';');
  if (semicolon != std::string_view::npos) {
    endpoint.kind = EndpointKind::punched;
    endpoint.local_port = parse_host_port(whole, text.substr(0, semicolon)).port;
    text.remove_prefix(semicolon + 1);
  }
  HostPort remote = parse_host_port(whole, text);
  endpoint.host = std::move(remote.host);
  endpoint.port = remote.port;
  return endpoint;
}

Endpoint parse_relayed(std::string_view whole, std::string_view text) {
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) refuse(whole, "it has no /TOKEN");
  HostPort relay = parse_host_port(whole, text.substr(0, slash));
  const std::string_view token = text.substr(slash + 1);
  if (token.empty() || token.size() > kMaxTokenChars) {
    refuse(whole, fmt::format("its token has {} characters, 1 to {} are allowed", token.size(),
                              kMaxTokenChars));
  }
  for (const char c : token) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '.' && c != '-') {
      refuse(whole, "its token holds more than letters, digits, '.' and '-'");
    }
  }
  Endpoint endpoint;
  endpoint.kind = EndpointKind::relayed;
  endpoint.host = std::move(relay.host);
  endpoint.port = relay.port;
  endpoint.token = token;
  return endpoint;
}

Endpoint parse_ipc(std::string_view whole, std::string_view text) {
  if (text.empty() || text.size() > kMaxIpcPathBytes) {
    refuse(whole, fmt::format("its path has {} bytes, 1 to {} are allowed", text.size(),
                              kMaxIpcPathBytes));
  }
  Endpoint endpoint;
  endpoint.kind = EndpointKind::ipc;
  endpoint.path = text;
  return endpoint;
}

}  // namespace

std::string to_hex(const PublicKey& key) {
  std::string text;
  for (const std::uint8_t byte : key) text += fmt::format("{:02x}", byte);
  return text;
}

std::optional<PublicKey> parse_public_key(std::string_view text) {
  if (text.size() != kKeyDigits) return std::nullopt;
  PublicKey key;
  for (std::size_t i = 0; i < key.size(); ++i) {
    const char* digits = text.data() + 2 * i;
    const auto [end, error] = std::from_chars(digits, digits + 2, key[i], 16);
    if (error != std::errc() || end != digits + 2) return std::nullopt;
  }
  return key;
}

bool Endpoint::is_local() const {
  if (kind == EndpointKind::ipc) return true;
  if (kind != EndpointKind::direct) return false;
  if (host == "localhost" || host == "[::1]") return true;
  return host.starts_with("127.") && parse_address(host).has_value();  // not 127.example.net
}

Endpoint parse_endpoint(std::string_view text) {
  const std::string_view whole = text;
  if (text.size() > kMaxEndpointChars) {
    refuse(whole.substr(0, 40),
           fmt::format("{} characters, at most {} allowed", text.size(), kMaxEndpointChars));
  }
  std::optional<PublicKey> key;
  const std::size_t hash = text.rfind('#');
  if (hash != std::string_view::npos) {
    key = parse_public_key(text.substr(hash + 1));
    if (!key) refuse(whole, fmt::format("its key is not {} hexadecimal digits", kKeyDigits));
    text = text.substr(0, hash);
  }
  Endpoint endpoint;
  if (consume_prefix(text, "tcp://")) {
    endpoint = parse_tcp(whole, text);
  } else if (consume_prefix(text, "socks5://")) {
    endpoint = parse_relayed(whole, text);
  } else if (consume_prefix(text, "ipc://")) {
    endpoint = parse_ipc(whole, text);
  } else {
    refuse(whole, "it begins with none of tcp://, socks5:// and ipc://");
  }
  endpoint.key = key;
  return endpoint;
}

std::string to_string(const Endpoint& endpoint) {
  std::string text;
  switch (endpoint.kind) {
    case EndpointKind::direct:
      text = fmt::format("tcp://{}:{}", endpoint.host, endpoint.port);
      break;
    case EndpointKind::punched:
      text =
          fmt::format("tcp://0.0.0.0:{};{}:{}", endpoint.local_port, endpoint.host, endpoint.port);
      break;
    case EndpointKind::relayed:
      text = fmt::format("socks5://{}:{}/{}", endpoint.host, endpoint.port, endpoint.token);
      break;
    case EndpointKind::ipc:
      text = "ipc://" + endpoint.path;
      break;
  }
  if (endpoint.key) text += "#" + to_hex(*endpoint.key);
  return text;
}

std::string zmq_address(const Endpoint& endpoint) {
  Endpoint bare = endpoint;
  bare.key.reset();
  return to_string(bare);
}

}  // namespace ptrain::net
