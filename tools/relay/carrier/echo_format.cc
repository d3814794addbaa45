#include "tools/relay/carrier/echo_format.h"

#include <algorithm>
#include <cstring>

#include <netinet/in.h>

namespace ptrain::relay {
namespace {

constexpr std::size_t kFamilyAt = kEchoReplyMagic.size() + kEchoNonceBytes;
constexpr std::size_t kPortAt = kFamilyAt + 2;
constexpr std::size_t kAddressAt = kPortAt + 2;
static_assert(kAddressAt + 16 == kEchoReplyBytes);

void write_address(EchoReply& reply, std::uint8_t family, in_port_t port, const void* address,
                   std::size_t bytes) {
  reply[kFamilyAt] = family;
  std::memcpy(&reply[kPortAt], &port, sizeof port);  // in network order already
  std::memcpy(&reply[kAddressAt], address, bytes);
}

}  // namespace

std::optional<EchoRequest> read_echo_request(std::span<const std::uint8_t> bytes) {
  constexpr std::size_t kNonceAt = kEchoRequestMagic.size();
  constexpr std::size_t kHowAt = kNonceAt + kEchoNonceBytes;
  constexpr std::size_t kToPortAt = kHowAt + 1;
  constexpr std::size_t kZerosAt = kToPortAt + 2;
  if (bytes.size() != kEchoRequestBytes ||
      !std::equal(kEchoRequestMagic.begin(), kEchoRequestMagic.end(), bytes.begin()) ||
      bytes[kHowAt] > static_cast<std::uint8_t>(EchoAnswer::to_other_port) ||
      std::any_of(bytes.begin() + kZerosAt, bytes.end(),
                  [](std::uint8_t byte) { return byte != 0; })) {
    return std::nullopt;
  }
  EchoRequest request{.nonce = {}, .how = static_cast<EchoAnswer>(bytes[kHowAt])};
  std::copy_n(bytes.begin() + kNonceAt, request.nonce.size(), request.nonce.begin());
  request.to_port = static_cast<std::uint16_t>(bytes[kToPortAt] << 8 | bytes[kToPortAt + 1]);
  // There is one exactly where it is wanted.
  if ((request.how == EchoAnswer::to_other_port) != (request.to_port != 0)) return std::nullopt;
  return request;
}

EchoReply echo_reply(const EchoNonce& nonce, const sockaddr_storage& from) {
  EchoReply reply{};
  std::copy(kEchoReplyMagic.begin(), kEchoReplyMagic.end(), reply.begin());
  std::copy(nonce.begin(), nonce.end(), reply.begin() + kEchoReplyMagic.size());
  if (from.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(from);
    write_address(reply, 4, v4.sin_port, &v4.sin_addr, 4);
    return reply;
  }
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(from);
  if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) {
    write_address(reply, 4, v6.sin6_port, &v6.sin6_addr.s6_addr[12], 4);
  } else {
    write_address(reply, 6, v6.sin6_port, &v6.sin6_addr, 16);
  }
  return reply;
}

}  // namespace ptrain::relay
