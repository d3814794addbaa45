#include "libcommon/net/relay_word.h"

#include <charconv>

#include <fmt/format.h>

#include "libcommon/base/error.h"

namespace ptrain::net {
namespace {

constexpr std::string_view kData = ",data=";

[[noreturn]] void refuse(std::string_view word, std::string_view why) {
  throw Error(ErrorKind::usage, fmt::format("relay '{}': {}", word, why),
              "give the line that ptrain-relay serve prints: tcp://HOST:PORT#KEY,data=PORT");
}

}  // namespace

TicketRelay parse_relay_word(std::string_view word) {
  const std::size_t comma = word.find(kData);
  if (comma == std::string_view::npos) refuse(word, "it has no ,data=PORT");
  TicketRelay relay;
  relay.control = parse_endpoint(word.substr(0, comma));
  if (relay.control.kind != EndpointKind::direct) refuse(word, "it is no tcp:// endpoint");
  if (!relay.control.key) refuse(word, "it has no #KEY");
  if (relay.control.port == 0) refuse(word, "port 0 cannot be dialled");
  const std::string_view port = word.substr(comma + kData.size());
  const auto [end, error] =
      std::from_chars(port.data(), port.data() + port.size(), relay.data_port);
  if (error != std::errc() || end != port.data() + port.size() || relay.data_port == 0) {
    refuse(word, fmt::format("data port '{}' is no number from 1 to 65535", port));
  }
  return relay;
}

std::string to_word(const TicketRelay& relay) {
  return fmt::format("{}{}{}", to_string(relay.control), kData, relay.data_port);
}

}  // namespace ptrain::net
