// NAT-PMP's messages (RFC 6886), as values and bytes. Pure.
//
// libnatpmp would bring its own socket, clock and repetition, which no test could drive; what it
// saves is these twelve bytes, and NAT-PMP shares its port, and its daemon, with PCP.
//
// An answer has no nonce: only its source address says that it is the gateway's.

#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "libcommon/portmap/mapped_port.h"

namespace ptrain::punch {

inline constexpr std::size_t kMaxNatPmpBytes = 16;

std::vector<std::uint8_t> encode_nat_pmp_address_request();
// A lifetime of 0 removes the mapping; the outside port is then 0.
std::vector<std::uint8_t> encode_nat_pmp_map(const Port& inside, std::uint16_t outside_port,
                                             std::chrono::seconds lifetime);

struct NatPmpMapped {
  Port inside;
  std::uint16_t outside_port = 0;
  std::chrono::seconds lifetime{};
  bool operator==(const NatPmpMapped&) const = default;
};

struct NatPmpAnswer {
  std::uint16_t result = 0;
  std::uint32_t epoch_s = 0;
  std::optional<net::AddressBytes> address;  // of an answer that says the outside address
  std::optional<NatPmpMapped> mapped;        // of one to a mapping; of both there is one or none
  // One with an error may end after 8 bytes, and then it says only what was asked for.
  std::optional<Transport> refused;
  bool operator==(const NatPmpAnswer&) const = default;
};

std::optional<NatPmpAnswer> decode_nat_pmp_answer(std::span<const std::uint8_t> bytes);

inline constexpr std::uint16_t kNatPmpUnsupportedVersion = 1;
// "Not Authorized/Refused (2): mapping is switched off there"
std::string nat_pmp_result_text(std::uint16_t result);

}  // namespace ptrain::punch
