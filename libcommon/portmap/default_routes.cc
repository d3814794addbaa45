#include "libcommon/portmap/default_routes.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <optional>
#include <sstream>

#include <fmt/format.h>
#include <net/route.h>

#include "libcommon/portmap/mapped_port.h"

namespace ptrain::punch {
namespace {

constexpr std::size_t kMaxTableBytes = 1u << 20;

std::vector<std::string> words_of(const std::string& line) {
  std::istringstream stream(line);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

template <class Number>
std::optional<Number> parse_number(std::string_view text, int base) {
  Number number{};
  const auto [stopped, error] =
      std::from_chars(text.data(), text.data() + text.size(), number, base);
  if (error != std::errc() || stopped != text.data() + text.size()) return std::nullopt;
  return number;
}

bool is_default_way(std::uint32_t flags) {
  return (flags & RTF_UP) != 0 && (flags & RTF_GATEWAY) != 0 && (flags & RTF_REJECT) == 0;
}

std::vector<Gateway> in_order(std::vector<Gateway> gateways) {
  std::ranges::stable_sort(gateways, {}, &Gateway::metric);
  std::vector<Gateway> each;
  for (Gateway& gateway : gateways) {
    const bool there = std::ranges::any_of(each, [&](const Gateway& other) {
      return other.address == gateway.address && other.interface == gateway.interface;
    });
    if (!there && each.size() < kMaxGateways) each.push_back(std::move(gateway));
  }
  return each;
}

// "Iface Destination Gateway Flags RefCnt Use Metric Mask ...", numbers in hexadecimal, addresses
// as the machine keeps them.
std::optional<Gateway> parse_v4_line(const std::vector<std::string>& words) {
  if (words.size() < 8) return std::nullopt;
  const auto destination = parse_number<std::uint32_t>(words[1], 16);
  const auto address = parse_number<std::uint32_t>(words[2], 16);
  const auto flags = parse_number<std::uint32_t>(words[3], 16);
  const auto metric = parse_number<std::uint32_t>(words[6], 10);
  const auto mask = parse_number<std::uint32_t>(words[7], 16);
  if (!destination || !address || !flags || !metric || !mask) return std::nullopt;
  if (*destination != 0 || *mask != 0 || *address == 0 || !is_default_way(*flags)) {
    return std::nullopt;
  }
  Gateway gateway{.address = {}, .interface = words[0], .metric = *metric};
  gateway.address[10] = gateway.address[11] = 0xff;
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(&*address);
  std::copy_n(bytes, sizeof *address, gateway.address.begin() + 12);
  return gateway;
}

// "destination length source length next-hop metric references use flags device", in hexadecimal.
std::optional<Gateway> parse_v6_line(const std::vector<std::string>& words) {
  if (words.size() < 10 || words[4].size() != 32) return std::nullopt;
  const auto length = parse_number<std::uint32_t>(words[1], 16);
  const auto metric = parse_number<std::uint32_t>(words[5], 16);
  const auto flags = parse_number<std::uint32_t>(words[8], 16);
  if (!length || *length != 0 || !metric || !flags || !is_default_way(*flags)) return std::nullopt;
  Gateway gateway{.address = {}, .interface = words[9], .metric = *metric};
  for (std::size_t i = 0; i < gateway.address.size(); ++i) {
    const auto byte = parse_number<std::uint8_t>(std::string_view(words[4]).substr(2 * i, 2), 16);
    if (!byte) return std::nullopt;
    gateway.address[i] = *byte;
  }
  return gateway;
}

std::vector<Gateway> parse_routes(
    std::string_view table, std::optional<Gateway> (*parse)(const std::vector<std::string>&)) {
  std::istringstream lines{std::string(table)};
  std::vector<Gateway> gateways;
  for (std::string line; std::getline(lines, line);) {
    if (auto gateway = parse(words_of(line))) gateways.push_back(std::move(*gateway));
  }
  return in_order(std::move(gateways));
}

std::string read_table(const char* path) {
  std::ifstream file(path);
  std::string text(kMaxTableBytes, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  return text;
}

}  // namespace

std::string to_string(const Gateway& gateway) {
  const std::string address = address_text(gateway.address);
  return net::reach_of(gateway.address) == net::Reach::link
             ? fmt::format("{}%{}", address, gateway.interface)
             : address;
}

std::vector<Gateway> parse_v4_routes(std::string_view table) {
  return parse_routes(table, parse_v4_line);
}

std::vector<Gateway> parse_v6_routes(std::string_view table) {
  return parse_routes(table, parse_v6_line);
}

std::vector<Gateway> v4_gateways() { return parse_v4_routes(read_table("/proc/net/route")); }

std::vector<Gateway> v6_gateways() { return parse_v6_routes(read_table("/proc/net/ipv6_route")); }

}  // namespace ptrain::punch
