// PCP's messages (RFC 6887) that ask for mappings, as values and bytes. Pure.
//
// Of an answer everything is checked that the RFC says of its form; whether it belongs to a request
// is for who has asked: its nonce, which nobody who does not see our packets can guess, says so.

#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "libcommon/portmap/mapped_port.h"

namespace ptrain::punch {

inline constexpr std::uint16_t kPortControlPort = 5351;   // PCP's and NAT-PMP's
inline constexpr std::uint16_t kAnnouncementPort = 5350;  // where both tell that they are new
inline constexpr std::uint8_t kPcpVersion = 2;
inline constexpr std::size_t kPcpHeaderBytes = 24;
inline constexpr std::size_t kPcpMapBytes = 60;
inline constexpr std::size_t kMaxPcpBytes = 1100;  // section 7

using PcpNonce = std::array<std::uint8_t, 12>;

struct PcpMap {
  PcpNonce nonce{};
  Port inside;
  Outside outside;  // in a request: what we would like; none is ::ffff:0.0.0.0 or ::, and 0
  bool operator==(const PcpMap&) const = default;
};

// `client` is the address that the request is sent from. A lifetime of 0 removes the mapping.
std::vector<std::uint8_t> encode_pcp_map(const net::AddressBytes& client,
                                         std::chrono::seconds lifetime, const PcpMap& map);
// A request that changes nothing.
std::vector<std::uint8_t> encode_pcp_announce(const net::AddressBytes& client);

enum class PcpOpcode : std::uint8_t { announce = 0, map = 1 };

struct PcpAnswer {
  std::uint8_t version = kPcpVersion;  // another one comes with result 1
  PcpOpcode opcode = PcpOpcode::announce;
  std::uint8_t result = 0;
  std::chrono::seconds lifetime{};
  std::uint32_t epoch_s = 0;  // since the server lost its mappings
  std::optional<PcpMap> map;
  bool operator==(const PcpAnswer&) const = default;
};

// nullopt for what is no answer to one of these requests.
std::optional<PcpAnswer> decode_pcp_answer(std::span<const std::uint8_t> bytes);

inline constexpr std::uint8_t kPcpSuccess = 0;
inline constexpr std::uint8_t kPcpUnsupportedVersion = 1;
inline constexpr std::uint8_t kPcpUnsupportedOpcode = 4;
// "NOT_AUTHORIZED (2): the gateway's rules do not allow it"
std::string pcp_result_text(std::uint8_t result);

}  // namespace ptrain::punch
