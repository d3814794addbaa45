// Connections that two members make together, through the NATs between them: the edge between the
// paths of a session and the sockets below (punch_desk.h). Network thread only.
//
// A hole is a port of ours that listens, and that connections are begun from. Where others see it
// is asked of relays' echoes, from that very port. For each line, a connection that is wanted with
// one peer, an attempt begins when it is told to; what comes of it is taken as a connected socket.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "libcommon/base/clock.h"
#include "libcommon/net/endpoint.h"
#include "libcommon/net/outside_ports.h"
#include "libcommon/net/poll_item.h"
#include "libcommon/net/punch_candidates.h"
#include "libcommon/net/punch_greeting.h"
#include "libcommon/net/punch_ladder.h"
#include "libcommon/os/file_descriptor.h"

namespace ptrain::net {

struct PunchingOptions {
  PunchIdentity identity;
  std::size_t holes = 2;               // kMostHoles at most
  std::vector<std::uint16_t> ports{};  // for the first holes; where one is taken, any
};

// Where a relay's echo is asked: a numeric address, and its two ports.
struct EchoPlace {
  std::string host;
  std::uint16_t first = 0;
  std::uint16_t second = 0;
};

// How this host's NAT chooses outer ports, as far as the echo can tell.
enum class NatMapping : std::uint8_t { unknown, none, independent, dependent };
std::string_view name_of(NatMapping mapping);

struct PunchedConnection {
  os::FileDescriptor socket;
  Endpoint from;           // the other end, as we see it
  bool they_came = false;  // to our port, by themselves
};

// What has come of the last attempt, for people.
struct PunchAttempt {
  std::vector<PunchLadder::Rung> rungs{};
  TimePoint begin{};
  std::optional<Endpoint> came_from{};  // where the peer reached us from, if it has
  bool over = true;
};

class Punching {
 public:
  virtual ~Punching() = default;

  virtual void add_poll_items(std::vector<PollItem>& items) = 0;
  // A bounded amount, without waiting: polling reports the rest.
  virtual void process(TimePoint now) = 0;
  virtual TimePoint next_tick() const = 0;

  // ---- Our own addresses.
  // Where our holes are seen is asked; what was known stands until the answers come.
  virtual void ask(const EchoPlace& echo, TimePoint now) = 0;
  virtual bool asking() const = 0;
  // What a router maps, by the file of ptrain-punch map.
  virtual void set_outside(const std::vector<OutsidePort>& ports) = 0;
  virtual std::vector<HoleFacts> holes() const = 0;
  virtual NatMapping mapping() const = 0;

  // ---- Lines.
  virtual void open_line(const PunchLine& line) = 0;
  virtual void close_line(const PunchLine& line) = 0;
  // Whether a connection would be chosen: of a line that we dial. True at first.
  virtual void want(const PunchLine& line, bool wanted) = 0;
  // In place of an attempt that is going on.
  virtual void begin(const PunchLine& line, std::vector<PunchTarget> targets, TimePoint at) = 0;
  // A connection that was chosen.
  virtual std::optional<PunchedConnection> take(const PunchLine& line) = 0;
  virtual PunchAttempt attempt(const PunchLine& line) const = 0;
};

}  // namespace ptrain::net
