// The echo's messages (ptrain-net(7), ECHO): whoever asks is told the address and port that
// the question came from, so a peer behind a NAT learns what it looks like outside.
//
// A reply is smaller than its request, so nobody gains by asking in another's name. Pure.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include <sys/socket.h>

namespace ptrain::relay {

inline constexpr std::string_view kEchoRequestMagic = "ptrecho?";
inline constexpr std::string_view kEchoReplyMagic = "ptrecho!";
inline constexpr std::size_t kEchoNonceBytes = 8;
inline constexpr std::size_t kEchoRequestBytes = 64;  // magic, nonce, EchoAnswer, port, zeros
inline constexpr std::size_t kEchoReplyBytes = 36;    // magic, nonce, family, 0, port, address

static_assert(kEchoReplyBytes < kEchoRequestBytes, "an amplifier otherwise");

using EchoNonce = std::array<std::uint8_t, kEchoNonceBytes>;
using EchoReply = std::array<std::uint8_t, kEchoReplyBytes>;

// How the answer shall come: one that a NAT lets in from a port that was not asked is no
// port-restricted one, and one that it lets in to a socket that never sent anything here has no
// filter at all (RFC 5780, section 4.4).
enum class EchoAnswer : std::uint8_t { straight = 0, from_other_port = 1, to_other_port = 2 };

struct EchoRequest {
  EchoNonce nonce{};
  EchoAnswer how = EchoAnswer::straight;
  // With to_other_port: of the address that asks, so that it is nobody else who gets the answer.
  std::uint16_t to_port = 0;
};

// nullopt if that is none.
std::optional<EchoRequest> read_echo_request(std::span<const std::uint8_t> bytes);

// `from` is IPv4 or IPv6; an IPv4 address that came over an IPv6 socket is given as IPv4.
EchoReply echo_reply(const EchoNonce& nonce, const sockaddr_storage& from);

}  // namespace ptrain::relay
