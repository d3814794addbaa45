// The seam between sessions and whatever carries their frames.
//
// A Path is one connection, or a bundle of them (bundle.h), to one peer for one
// channel: it keeps frames in order and vanishes sooner or later. A PathSource makes paths (a
// listener that accepts them, a dialler that connects) and reports to a PathSink what happens on
// them. Direct paths are built here; a relayed or punched one is another PathSource. All of it
// lives on the network thread.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <zmq.h>

#include "libcommon/base/clock.h"
#include "libcommon/base/error.h"
#include "libcommon/net/path_id.h"
#include "libcommon/net/peer_handle.h"
#include "libcommon/net/route.h"
#include "libcommon/wire/frame.h"

namespace ptrain::net {

// Bytes of one frame as they were counted at the socket.
struct FrameBytes {
  std::uint64_t payload = 0;
  std::uint64_t overhead = 0;
};

// The ordinal of a frame that goes over a connection by itself.
inline constexpr std::uint64_t kNoOrdinal = 0;

class Path {
 public:
  virtual ~Path() = default;
  virtual PathId id() const = 0;
  virtual std::string name() const = 0;  // "tcp://10.0.0.2:7001"
  // A new path of the same peer, channel and route replaces the one before.
  virtual Route route() const = 0;
  // Of an accepted connection: which one of a bundle it says that it is.
  virtual wire::Strand strand() const { return {}; }
  // Hands a frame over without waiting. Nothing when the path has vanished.
  virtual std::optional<FrameBytes> send(const wire::Frame& frame, std::uint64_t ordinal) = 0;
};

struct Arrival {
  wire::Frame frame;
  FrameBytes bytes{};
  std::uint64_t ordinal = kNoOrdinal;  // within its bundle, from 1
};

class PathSink {
 public:
  virtual ~PathSink() = default;
  virtual PathId next_path_id() = 0;
  // The path stays valid until path_lost() or until PathSource::close().
  virtual void path_opened(Path& path, PeerHandle peer, wire::Channel channel) = 0;
  virtual void path_lost(PathId id) = 0;
  virtual void arrived(PathId id, Arrival arrival) = 0;
  // A connection attempt failed. `permanent`: trying again cannot help.
  virtual void attempt_failed(PeerHandle peer, const std::string& why, ErrorKind kind,
                              bool permanent) = 0;
  // The host that the peer is dialled at completed a TCP connection, which takes no process. To be
  // told of addresses only that are certain to be the peer's.
  virtual void host_answered(PeerHandle) {}
  // Something came that is none of ours; dropped.
  virtual void refused(const std::string& why) = 0;
};

class PathSource {
 public:
  virtual ~PathSource() = default;
  virtual void add_poll_items(std::vector<zmq_pollitem_t>& items) = 0;
  // Reads what has come without waiting, and a bounded amount: polling reports the rest.
  virtual void process(PathSink& sink, TimePoint now) = 0;
  virtual TimePoint next_tick() const = 0;
  // The session has no more use for that path of this source; others are ignored.
  virtual void close(PathId id, TimePoint now) = 0;
  // Over which path a session of its goes now, and why: for those who tell somebody.
  virtual void session_moved(PeerHandle, const std::string& /*path*/, const std::string& /*why*/) {}
};

}  // namespace ptrain::net
