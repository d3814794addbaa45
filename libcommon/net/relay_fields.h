// The fields that several structs of schemas/relay.capnp share, read with bounds and
// written. Internal to peer_record.cc and relay_codec.cc.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <capnp/blob.h>
#include <capnp/message.h>

namespace ptrain::net {

inline constexpr unsigned kKeyBytes = 32;
inline constexpr unsigned kSignatureBytes = 64;

// Throw wire::UnwelcomeValue for what is out of bounds.
std::string read_text(capnp::Text::Reader from, std::string_view field, std::size_t limit);
std::array<std::uint8_t, kKeyBytes> read_key(capnp::Data::Reader from, std::string_view field);
std::array<std::uint8_t, kSignatureBytes> read_signature(capnp::Data::Reader from);
std::string read_role(capnp::Text::Reader from);

// Throws Error(internal) when `value` is longer than `limit`: ours to prevent.
capnp::Text::Reader bounded(const std::string& value, std::size_t limit);
void write_bytes(capnp::Data::Builder to, std::span<const std::uint8_t> from);

std::vector<std::byte> flat_bytes(capnp::MessageBuilder& message);

}  // namespace ptrain::net
