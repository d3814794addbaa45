// What a session puts on a connection, as values: one of five frames.
//
// A message travels as one or more Data frames of its urgency, numbered without gaps; the others
// are the session's own. Pure data: envelope.h turns them into bytes and back, net/session.h gives
// them their meaning.

#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "libcommon/base/units.h"
#include "libcommon/wire/message.h"

namespace ptrain::wire {

// Short enough that a connection shows progress before it counts as stalled: at 1 Mbit/s a frame
// takes eight seconds.
inline constexpr std::size_t kMaxFrameBytes = std::size_t{1} << 20;

// Control has connections of its own, so that it never waits behind a megabyte of something else.
enum class Purpose : std::uint8_t { control, bulk };
inline constexpr std::size_t kPurposes = 2;
inline constexpr std::array<Purpose, kPurposes> kAllPurposes{Purpose::control, Purpose::bulk};

constexpr Purpose purpose_of(Urgency urgency) {
  return urgency == Urgency::control ? Purpose::control : Purpose::bulk;
}
constexpr std::string_view name_of(Purpose purpose) {
  return purpose == Purpose::control ? "control" : "bulk";
}

// Connections for bulk that one side makes to the other, over each route.
inline constexpr std::uint8_t kMaxConnections = 8;

// What has arrived of one urgency.
struct Received {
  std::uint64_t next = 0;          // every frame before this one has arrived
  std::uint64_t credit_limit = 0;  // cost that the peer may send since the session began
  bool operator==(const Received&) const = default;
};

// What has arrived over one connection: every frame up to that ordinal.
struct LinkReport {
  std::uint64_t link = 0;  // its number, see LinkIntroduction
  std::uint64_t ordinal = 0;
  bool operator==(const LinkReport&) const = default;
};
inline constexpr std::size_t kMaxLinkReports = 64;

struct Acknowledgement {
  std::array<Received, kUrgencies> received{};
  bool goodbye = false;    // the peer's goodbye has arrived
  std::uint64_t pong = 0;  // the number of the last ping on this connection
  std::vector<LinkReport> links{};
  bool operator==(const Acknowledgement&) const = default;

  Received& of(Urgency urgency) { return received[static_cast<std::size_t>(urgency)]; }
  const Received& of(Urgency urgency) const { return received[static_cast<std::size_t>(urgency)]; }
};

// Which of the connections between two peers this one is. Said by who dials, and repeated by
// the other side, whose own numbers it does not know.
struct LinkIntroduction {
  Purpose purpose = Purpose::control;
  std::uint64_t number = 0;  // of this connection
  std::uint64_t line = 0;    // a connection takes the place of an earlier one of the same line
  bool operator==(const LinkIntroduction&) const = default;
};

struct Hello {
  std::uint16_t version = 0;
  std::string run;
  std::string job_hash;
  std::uint32_t stage_count = 0;
  std::string data_fingerprint;
  StageIndex stage;
  std::uint64_t incarnation = 0;
  std::uint64_t to = 0;  // the incarnation of the peer that this session is with; 0: not known yet
  LinkIntroduction link{};
  Acknowledgement received;
  std::string terms{};  // what the hashes are of, for words; may be empty
  bool operator==(const Hello&) const = default;
};

// Set in the first frame of a message.
struct MessageStart {
  MessageName name;
  TensorInfo tensor;
  std::uint64_t payload_bytes = 0;  // of the whole message
  bool operator==(const MessageStart&) const = default;
};

struct Data {
  Urgency urgency = Urgency::control;
  std::uint64_t sequence = 0;
  std::uint64_t checksum = 0;
  std::optional<MessageStart> start;
  Buffer payload;  // at most kMaxFrameBytes
};

// More than a packet, so that a route that passes small ones only is found out.
inline constexpr std::size_t kMaxPingPadding = std::size_t{32} << 10;

struct Ping {
  std::uint64_t number = 0;  // from 1
  std::size_t padding = 0;   // bytes, kMaxPingPadding at most
  bool operator==(const Ping&) const = default;
};

struct Goodbye {
  bool failed = false;
  std::string reason{};
  std::array<std::uint64_t, kUrgencies> frames{};  // sent in all, so that the last is known
  bool retry = false;  // a refusal that another attempt, later, may not meet
  bool operator==(const Goodbye&) const = default;
};

using Frame = std::variant<Hello, Data, Acknowledgement, Ping, Goodbye>;

}  // namespace ptrain::wire
