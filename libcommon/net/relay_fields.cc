#include "libcommon/net/relay_fields.h"

#include <algorithm>

#include <capnp/serialize.h>
#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/net/peer_record.h"
#include "libcommon/wire/bounded_reader.h"

namespace ptrain::net {

std::string read_text(capnp::Text::Reader from, std::string_view field, std::size_t limit) {
  if (from.size() > limit) {
    throw wire::UnwelcomeValue{
        fmt::format("{} of {} characters, at most {} allowed", field, from.size(), limit)};
  }
  return std::string(from.cStr(), from.size());
}

std::array<std::uint8_t, kKeyBytes> read_key(capnp::Data::Reader from, std::string_view field) {
  std::array<std::uint8_t, kKeyBytes> key{};
  if (from.size() != key.size()) {
    throw wire::UnwelcomeValue{
        fmt::format("{} of {} bytes, expected {}", field, from.size(), key.size())};
  }
  std::ranges::copy(from, key.begin());
  return key;
}

std::array<std::uint8_t, kSignatureBytes> read_signature(capnp::Data::Reader from) {
  std::array<std::uint8_t, kSignatureBytes> signature{};
  if (from.size() != signature.size()) {
    throw wire::UnwelcomeValue{fmt::format("a signature of {} bytes", from.size())};
  }
  std::ranges::copy(from, signature.begin());
  return signature;
}

std::string read_role(capnp::Text::Reader from) {
  std::string role = read_text(from, "role", kMaxRoleChars);
  if (!is_role(role)) {
    throw wire::UnwelcomeValue{"a role that is not lower-case letters, digits and '-'"};
  }
  return role;
}

capnp::Text::Reader bounded(const std::string& value, std::size_t limit) {
  if (value.size() > limit) {
    throw Error(ErrorKind::internal,
                fmt::format("a text of {} characters, at most {} allowed", value.size(), limit));
  }
  return capnp::Text::Reader(value.c_str(), value.size());
}

void write_bytes(capnp::Data::Builder to, std::span<const std::uint8_t> from) {
  std::ranges::copy(from, to.begin());
}

std::vector<std::byte> flat_bytes(capnp::MessageBuilder& message) {
  const auto words = capnp::messageToFlatArray(message);
  const auto bytes = std::as_bytes(std::span(words.begin(), words.size()));
  return {bytes.begin(), bytes.end()};
}

}  // namespace ptrain::net
