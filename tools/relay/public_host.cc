#include "tools/relay/public_host.h"

#include <algorithm>
#include <cctype>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/net/address_reach.h"

namespace ptrain::relay {
namespace {

constexpr std::size_t kMaxNameChars = 253;  // RFC 1035
constexpr std::size_t kMaxLabelChars = 63;

[[noreturn]] void refuse(std::string_view text, std::string_view why) {
  throw Error(ErrorKind::usage, fmt::format("--public-host '{}': {}", text, why),
              "give a host's name or address alone, as in --public-host relay.example.net; the "
              "ports are those of --listen and --data");
}

bool is_label(std::string_view label) {
  const auto is_allowed = [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '-' || c == '_';
  };
  return !label.empty() && label.size() <= kMaxLabelChars && label.front() != '-' &&
         label.back() != '-' && std::ranges::all_of(label, is_allowed);
}

bool is_number(std::string_view label) {
  return std::ranges::all_of(label, [](unsigned char c) { return std::isdigit(c) != 0; });
}

// A last label of digits alone is an address that is none, not a name.
bool is_name(std::string_view text) {
  if (text.ends_with('.')) text.remove_suffix(1);
  if (text.size() > kMaxNameChars) return false;
  while (true) {
    const std::size_t dot = text.find('.');
    const std::string_view label = text.substr(0, dot);
    if (!is_label(label)) return false;
    if (dot == std::string_view::npos) return !is_number(label);
    text.remove_prefix(dot + 1);
  }
}

}  // namespace

std::string parse_public_host(std::string_view text) {
  if (text.empty()) refuse(text, "it is empty");
  if (text.find("://") != std::string_view::npos) refuse(text, "it has a scheme");
  const std::string_view bare =
      text.starts_with('[') && text.ends_with(']') ? text.substr(1, text.size() - 2) : text;
  const bool bracketed = bare.size() != text.size();
  const bool is_v6 = bare.find(':') != std::string_view::npos;
  if (const auto address = net::parse_address(bare); address && (is_v6 || !bracketed)) {
    const bool is_any = bare == "0.0.0.0" || *address == net::AddressBytes{};
    if (is_any) refuse(text, "no other host can dial that");
    return is_v6 ? fmt::format("[{}]", bare) : std::string(bare);
  }
  if (std::ranges::any_of(text, [](unsigned char c) { return std::isspace(c) != 0; })) {
    refuse(text, "it has a blank");
  }
  const std::size_t colon = text.rfind(':');
  if (colon != std::string_view::npos && is_number(text.substr(colon + 1))) {
    refuse(text, "it has a port");
  }
  if (!is_name(text)) refuse(text, "it is no host's name or address");
  return std::string(text);
}

}  // namespace ptrain::relay
