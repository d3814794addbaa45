// The seam between sessions and whatever carries their frames.
//
// A Path is one connection to one peer: it keeps frames in order and vanishes sooner or later. A
// PathSource makes paths (a listener that accepts them, a dialler that connects) and reports to a
// PathSink what happens on them. A Transport has those of direct paths; a relayed or punched one is
// another PathSource. All of it lives on the network thread.

#pragma once

#include <bit>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "libcommon/base/clock.h"
#include "libcommon/base/error.h"
#include "libcommon/base/random_source.h"
#include "libcommon/net/link_id.h"
#include "libcommon/net/peer_handle.h"
#include "libcommon/net/poll_item.h"
#include "libcommon/net/route.h"
#include "libcommon/net/worker_id.h"
#include "libcommon/wire/frame.h"

namespace ptrain::net {

// Bytes of one frame as they were counted at the socket.
struct FrameBytes {
  std::uint64_t payload = 0;
  std::uint64_t overhead = 0;
};

class Path {
 public:
  Path(LinkId id, std::string name, Route route, const wire::LinkIntroduction& introduction)
      : id_(id), name_(std::move(name)), route_(route), introduction_(introduction) {}
  virtual ~Path() = default;
  LinkId id() const { return id_; }
  const std::string& name() const { return name_; }  // "tcp://10.0.0.2:7001"
  Route route() const { return route_; }
  // Drawn by who dials, and said in the hello.
  const wire::LinkIntroduction& introduction() const { return introduction_; }
  // Hands a frame over without waiting. Nothing when the path has vanished.
  virtual std::optional<FrameBytes> send(const wire::Frame& frame, std::uint64_t ordinal) = 0;

 private:
  LinkId id_;
  std::string name_;
  Route route_;
  wire::LinkIntroduction introduction_;
};

// A line of connections that one side makes, each in place of the one before.
inline wire::LinkIntroduction introduce_link(wire::Purpose purpose, RandomSource& random) {
  const auto line = std::bit_cast<std::uint64_t>(random.bytes<sizeof(std::uint64_t)>());
  return {.purpose = purpose, .number = line, .line = line};
}

struct Arrival {
  wire::Frame frame;
  FrameBytes bytes{};
  std::uint64_t ordinal = 0;  // on its connection, from 1
};

class PathSink {
 public:
  virtual ~PathSink() = default;
  virtual LinkId next_path_id() = 0;
  // The path stays valid until path_lost() or until PathSource::close().
  virtual void path_opened(Path& path, PeerHandle peer) = 0;
  virtual void path_lost(LinkId id) = 0;
  virtual void arrived(LinkId id, Arrival arrival) = 0;
  // A connection attempt failed. `permanent`: trying again cannot help.
  virtual void attempt_failed(PeerHandle peer, const Error& why, bool permanent) = 0;
  // The host that the peer is dialled at completed a TCP connection, which takes no process. To be
  // told of addresses only that are certain to be the peer's.
  virtual void host_answered(PeerHandle) {}
  // A relay that goes on has seen its connection end.
  virtual void peer_is_absent(PeerHandle) {}
  // The issuer has taken it out of our run: its connections end, and no others are let in.
  virtual void peer_is_barred(PeerHandle) {}
  // A member of our run is registered with a relay of ours, or with none of them any more.
  virtual void member_seen(const WorkerId&) {}
  virtual void member_gone(const WorkerId&) {}
  // Something came that is none of ours; dropped.
  virtual void refused(const std::string& why) = 0;
};

class PathSource {
 public:
  virtual ~PathSource() = default;
  virtual void add_poll_items(std::vector<PollItem>& items) = 0;
  // Reads what has come without waiting, and a bounded amount: polling reports the rest.
  virtual void process(PathSink& sink, TimePoint now) = 0;
  virtual TimePoint next_tick() const = 0;
  // The session has no more use for that path of this source; others are ignored.
  virtual void close(LinkId id, TimePoint now) = 0;
  // Over which path a session of its goes now, and why: for those who tell somebody. No path: the
  // session is over.
  virtual void session_moved(PeerHandle, const std::string& /*path*/, const std::string& /*why*/) {}
  // There is no path to it any more, of this source or of another: for those who can ask somebody.
  virtual void last_path_ended(PeerHandle, TimePoint /*now*/) {}
};

}  // namespace ptrain::net
