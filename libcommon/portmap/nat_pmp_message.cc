#include "libcommon/portmap/nat_pmp_message.h"

#include <algorithm>

#include <fmt/format.h>

#include "libcommon/portmap/byte_order.h"

namespace ptrain::punch {
namespace {

constexpr std::uint8_t kVersion = 0;
constexpr std::uint8_t kOpAddress = 0;
constexpr std::uint8_t kOpMapUdp = 1;
constexpr std::uint8_t kOpMapTcp = 2;
constexpr std::uint8_t kAnswerBit = 0x80;
constexpr std::size_t kHeaderBytes = 8;
constexpr std::size_t kAddressAnswerBytes = 12;
constexpr std::size_t kMapAnswerBytes = 16;
static_assert(kMapAnswerBytes == kMaxNatPmpBytes);

net::AddressBytes mapped_v4(std::span<const std::uint8_t> v4) {
  net::AddressBytes address{};
  address[10] = address[11] = 0xff;
  std::copy_n(v4.begin(), 4, address.begin() + 12);
  return address;
}

}  // namespace

std::vector<std::uint8_t> encode_nat_pmp_address_request() { return {kVersion, kOpAddress}; }

std::vector<std::uint8_t> encode_nat_pmp_map(const Port& inside, std::uint16_t outside_port,
                                             std::chrono::seconds lifetime) {
  std::vector<std::uint8_t> bytes{kVersion,
                                  inside.transport == Transport::udp ? kOpMapUdp : kOpMapTcp, 0, 0};
  append_u16(bytes, inside.number);
  append_u16(bytes, outside_port);
  append_u32(bytes, static_cast<std::uint32_t>(lifetime.count()));
  return bytes;
}

std::optional<NatPmpAnswer> decode_nat_pmp_answer(std::span<const std::uint8_t> bytes) {
  if (bytes.size() < kHeaderBytes || bytes.size() > kMaxNatPmpBytes) return std::nullopt;
  if (bytes[0] != kVersion || (bytes[1] & kAnswerBit) == 0) return std::nullopt;
  NatPmpAnswer answer{.result = u16_at(bytes, 2),
                      .epoch_s = u32_at(bytes, 4),
                      .address = {},
                      .mapped = {},
                      .refused = {}};
  const std::uint8_t opcode = bytes[1] & static_cast<std::uint8_t>(~kAnswerBit);
  // Any opcode may have been refused for its version.
  if (answer.result == kNatPmpUnsupportedVersion) return answer;
  if (opcode == kOpAddress) {
    if (answer.result != 0) return answer;
    if (bytes.size() != kAddressAnswerBytes) return std::nullopt;
    answer.address = mapped_v4(bytes.subspan(kHeaderBytes));
    return answer;
  }
  if (opcode != kOpMapUdp && opcode != kOpMapTcp) return std::nullopt;
  const Transport transport = opcode == kOpMapUdp ? Transport::udp : Transport::tcp;
  if (bytes.size() == kMapAnswerBytes) {
    answer.mapped = NatPmpMapped{.inside = {transport, u16_at(bytes, 8)},
                                 .outside_port = u16_at(bytes, 10),
                                 .lifetime = std::chrono::seconds(u32_at(bytes, 12))};
    return answer;
  }
  if (answer.result == 0) return std::nullopt;
  answer.refused = transport;
  return answer;
}

std::string nat_pmp_result_text(std::uint16_t result) {
  struct Name {
    const char* name;
    const char* meaning;
  };
  static constexpr Name kNames[] = {
      {"Success", "done"},
      {"Unsupported Version", "it speaks another version"},
      {"Not Authorized/Refused", "mapping is switched off there, or not allowed to this host"},
      {"Network Failure", "it is not connected itself"},
      {"Out of resources", "it has no room for another mapping now"},
      {"Unsupported opcode", "it maps nothing this way"},
  };
  if (result >= std::size(kNames)) return fmt::format("result {}, which RFC 6886 has not", result);
  return fmt::format("{} ({}): {}", kNames[result].name, result, kNames[result].meaning);
}

}  // namespace ptrain::punch
