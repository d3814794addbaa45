// Requests to a relay and its answers, as bytes and back (schemas/relay.capnp).
//
// Decoding trusts nothing: sizes, traversal and nesting are limited, numbers are checked
// before they become enums, keys have 32 bytes, and no length from the wire leads to an
// allocation that the limits below do not bound.

#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <variant>
#include <vector>

#include "libcommon/net/relay_protocol.h"
#include "libcommon/wire/envelope.h"

namespace ptrain::net {

inline constexpr std::uint32_t kRelayMagic = 0x70747272;
// 2: runs are named by their issuer's key, and records show its grant.
inline constexpr std::uint16_t kRelayProtocolVersion = 2;

inline constexpr std::size_t kMaxRequestBytes = 8192;
inline constexpr std::size_t kMaxAnswerBytes = 65536;
inline constexpr std::size_t kMaxRefusalChars = 512;
inline constexpr std::size_t kMaxNoteChars = 256;
inline constexpr std::size_t kMaxHostChars = 64;
inline constexpr std::size_t kMaxTokenChars = 32;
inline constexpr std::size_t kMaxPathsPerIntroduction = 1 + wire::kMaxConnections;  // control, bulk
inline constexpr std::size_t kMaxRecordsPerPage = 256;
inline constexpr std::size_t kMaxGonePerPage = 256;
inline constexpr std::size_t kMaxRevocationsPerPage = 64;
inline constexpr std::size_t kEchoPorts = 2;
inline constexpr std::size_t kMaxSurveyLines = 512;
inline constexpr std::size_t kMaxSurveyLineChars = 1024;

// Throw Error(internal) for a value beyond the limits.
std::vector<std::byte> encode(const Request& request);
std::vector<std::byte> encode(const Answer& answer);
// For who speaks another version: refusals are the same in all of them.
std::vector<std::byte> encode_refusal(const Answer& refusal, std::uint16_t version);

std::variant<Request, wire::Malformed> decode_request(std::span<const std::byte> bytes);
// A refusal of another version is one for that reason, with both versions in its text.
std::variant<Answer, wire::Malformed> decode_answer(std::span<const std::byte> bytes);

// Of a request of another version; nullopt where it is none.
struct ForeignRequest {
  std::uint16_t version = 0;
  std::uint64_t id = 0;
};
std::optional<ForeignRequest> foreign_request(std::span<const std::byte> bytes);

}  // namespace ptrain::net
