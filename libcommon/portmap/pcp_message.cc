#include "libcommon/portmap/pcp_message.h"

#include <algorithm>

#include <fmt/format.h>

#include "libcommon/portmap/byte_order.h"

namespace ptrain::punch {
namespace {

constexpr std::uint8_t kAnswerBit = 0x80;

std::vector<std::uint8_t> request_header(PcpOpcode opcode, std::chrono::seconds lifetime,
                                         const net::AddressBytes& client) {
  std::vector<std::uint8_t> bytes{kPcpVersion, static_cast<std::uint8_t>(opcode), 0, 0};
  append_u32(bytes, static_cast<std::uint32_t>(lifetime.count()));
  bytes.insert(bytes.end(), client.begin(), client.end());
  return bytes;
}

std::optional<PcpMap> decode_map(std::span<const std::uint8_t> body) {
  PcpMap map;
  std::copy_n(body.begin(), map.nonce.size(), map.nonce.begin());
  const std::uint8_t transport = body[12];
  if (transport != static_cast<std::uint8_t>(Transport::tcp) &&
      transport != static_cast<std::uint8_t>(Transport::udp)) {
    return std::nullopt;
  }
  map.inside = {static_cast<Transport>(transport), u16_at(body, 16)};
  map.outside.port = u16_at(body, 18);
  std::copy_n(body.begin() + 20, map.outside.address.size(), map.outside.address.begin());
  return map;
}

}  // namespace

std::vector<std::uint8_t> encode_pcp_map(const net::AddressBytes& client,
                                         std::chrono::seconds lifetime, const PcpMap& map) {
  std::vector<std::uint8_t> bytes = request_header(PcpOpcode::map, lifetime, client);
  bytes.insert(bytes.end(), map.nonce.begin(), map.nonce.end());
  bytes.push_back(static_cast<std::uint8_t>(map.inside.transport));
  bytes.insert(bytes.end(), 3, 0);
  append_u16(bytes, map.inside.number);
  append_u16(bytes, map.outside.port);
  bytes.insert(bytes.end(), map.outside.address.begin(), map.outside.address.end());
  return bytes;
}

std::vector<std::uint8_t> encode_pcp_announce(const net::AddressBytes& client) {
  return request_header(PcpOpcode::announce, std::chrono::seconds(0), client);
}

std::optional<PcpAnswer> decode_pcp_answer(std::span<const std::uint8_t> bytes) {
  if (bytes.size() < kPcpHeaderBytes || bytes.size() > kMaxPcpBytes || bytes.size() % 4 != 0) {
    return std::nullopt;
  }
  if ((bytes[1] & kAnswerBit) == 0 || bytes[0] == 0) return std::nullopt;
  PcpAnswer answer{.version = bytes[0],
                   .opcode = static_cast<PcpOpcode>(bytes[1] & ~kAnswerBit),
                   .result = bytes[3],
                   .lifetime = std::chrono::seconds(u32_at(bytes, 4)),
                   .epoch_s = u32_at(bytes, 8),
                   .map = {}};
  // Of another version nothing is known but that it is one (section 9).
  if (answer.version != kPcpVersion && answer.result != kPcpUnsupportedVersion) return std::nullopt;
  if (answer.opcode == PcpOpcode::announce || answer.result == kPcpUnsupportedVersion) {
    return answer;
  }
  if (answer.opcode != PcpOpcode::map || bytes.size() < kPcpMapBytes) return std::nullopt;
  answer.map = decode_map(bytes.subspan(kPcpHeaderBytes));
  if (!answer.map) return std::nullopt;
  return answer;
}

std::string pcp_result_text(std::uint8_t result) {
  struct Name {
    const char* name;
    const char* meaning;
  };
  static constexpr Name kNames[] = {
      {"SUCCESS", "done"},
      {"UNSUPP_VERSION", "it speaks another version"},
      {"NOT_AUTHORIZED", "its rules do not allow it, or another host holds the mapping"},
      {"MALFORMED_REQUEST", "it could not read the request"},
      {"UNSUPP_OPCODE", "it maps nothing this way"},
      {"UNSUPP_OPTION", "it lacks an option"},
      {"MALFORMED_OPTION", "it could not read an option"},
      {"NETWORK_FAILURE", "it is not connected itself"},
      {"NO_RESOURCES", "it has no room for another mapping now"},
      {"UNSUPP_PROTOCOL", "it does not map this protocol"},
      {"USER_EX_QUOTA", "this host has as many mappings as it may have"},
      {"CANNOT_PROVIDE_EXTERNAL", "the outside port or address cannot be had"},
      {"ADDRESS_MISMATCH", "another NAT lies between this host and it"},
      {"EXCESSIVE_REMOTE_PEERS", "too many peers"},
  };
  if (result >= std::size(kNames)) return fmt::format("result {}, which RFC 6887 has not", result);
  return fmt::format("{} ({}): {}", kNames[result].name, result, kNames[result].meaning);
}

}  // namespace ptrain::punch
