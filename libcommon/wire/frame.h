// What a session puts on a path, as values: one of five frames.
//
// A message travels as one or more Data frames on its channel, numbered without
// gaps; the other four are the session's own. Pure data: envelope.h turns them
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

using Frame = std::variant<Hello, Data, Acknowledgement, Ping, Goodbye>;

}  // namespace ptrain::wire
