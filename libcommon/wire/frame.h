// What a session puts on a path, as values: one of six frames.
//
// A message travels as one or more Data frames on its channel, numbered without
// gaps; the others are the session's own, and the tally that of a path which is made
// of several connections. Pure data: envelope.h turns them
// into bytes and back, net/session.h gives them their meaning.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>

#include "libcommon/base/units.h"
#include "libcommon/wire/message.h"

namespace ptrain::wire {

// Short enough that a path shows progress before it counts as stalled: at 1 Mbit/s a frame
// takes eight seconds.
inline constexpr std::size_t kMaxFrameBytes = std::size_t{1} << 20;

// What has arrived on one channel.
struct Received {
  std::uint64_t next = 0;          // every frame before this one has arrived
  std::uint64_t credit_limit = 0;  // cost that the peer may send since the session began
  bool missing = false;            // frame `next` was lost or damaged: send again from there
  bool operator==(const Received&) const = default;
};

struct Acknowledgement {
  Received control{};
  Received bulk{};
  bool goodbye = false;    // the peer's goodbye has arrived
  std::uint64_t pong = 0;  // the number of the last ping on this path
  bool operator==(const Acknowledgement&) const = default;

  Received& of(Channel channel) { return channel == Channel::control ? control : bulk; }
  const Received& of(Channel channel) const { return channel == Channel::control ? control : bulk; }
};

// A path may be a bundle of several connections; this is one of them.
inline constexpr std::uint8_t kMaxStrands = 8;

struct Strand {
  std::uint64_t bundle = 0;  // drawn by who dials; the same for all of its connections
  std::uint8_t number = 0;
  std::uint8_t count = 0;  // 0: the connection is a path by itself
  bool operator==(const Strand&) const = default;
};

struct Hello {
  std::uint16_t version = 0;
  std::string run;
  std::string job_hash;
  std::uint32_t stage_count = 0;
  std::string data_fingerprint;
  StageIndex stage;
  std::uint64_t incarnation = 0;
  Channel channel = Channel::control;
  Acknowledgement received;
  Strand strand{};
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
  Channel channel = Channel::control;
  std::uint64_t sequence = 0;
  std::uint64_t checksum = 0;
  std::optional<MessageStart> start;
  Buffer payload;  // at most kMaxFrameBytes
};

// More than a packet, so that a path that passes small ones only is found out.
inline constexpr std::size_t kMaxPingPadding = std::size_t{32} << 10;

struct Ping {
  std::uint64_t number = 0;  // from 1
  std::uint64_t sent = 0;    // frames sent so far on this path's channel
  std::size_t padding = 0;   // bytes, kMaxPingPadding at most
  bool operator==(const Ping&) const = default;
};

struct Goodbye {
  bool failed = false;
  std::string reason{};
  std::uint64_t control_frames = 0;
  std::uint64_t bulk_frames = 0;
  bool retry = false;  // a refusal that another attempt, later, may not meet
  bool operator==(const Goodbye&) const = default;
};

// What has arrived over one connection of a bundle, by the measure of net/credit.h.
struct Tally {
  std::uint64_t cost = 0;
  bool operator==(const Tally&) const = default;
};

using Frame = std::variant<Hello, Data, Acknowledgement, Ping, Goodbye, Tally>;

}  // namespace ptrain::wire
