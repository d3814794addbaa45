// What connections come from: the edge between a node and the sockets below it.
//
// The hub, its sessions, the relayed paths and what is said to relays ask for connections here, and
// know no socket, no name server and no library of sockets. ZmqTransport has libzmq's; a test has
// one that joins nodes of one thread on virtual time. Network thread only (before the loop runs:
// whoever sets it up). What it makes ends before it does.

#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "libcommon/net/admission.h"
#include "libcommon/net/carried_bytes.h"
#include "libcommon/net/control_link.h"
#include "libcommon/net/endpoint.h"
#include "libcommon/net/keys.h"
#include "libcommon/net/path.h"
#include "libcommon/net/punching.h"

namespace ptrain::net {

struct DialerOptions {
  PeerHandle peer;
  wire::LinkIntroduction link;  // of the first connection; later ones have the next numbers
  Endpoint endpoint;
  Route route{};
  std::string name{};          // of its paths; empty: the endpoint
  std::optional<KeyPair> key;  // ours; CURVE is spoken when the endpoint has a key
  std::string when_refused{};  // the hint where our key is refused: what would let us in
  // The endpoint is a peer's word: addresses that no other host should make us dial are not
  // (address_reach.h), and those that have never worked rarely.
  bool hearsay = false;
  // Of a socket file that leads to another host; none: what it brings is a user's of this one.
  std::shared_ptr<const CarriedBytes> carried{};
};

struct ListenerOptions {
  Endpoint endpoint;
  Route route{};
  std::string name{};  // of its paths; empty: where each comes from
  std::optional<KeyPair> key;
  std::shared_ptr<const CarriedBytes> carried{};  // as of DialerOptions
};

struct ControlLinkOptions {
  Endpoint control;          // with the relay's key
  KeyPair key;               // ours
  std::string refused = "";  // what it means that the relay refuses our key; empty: just that
};

class Transport {
 public:
  virtual ~Transport() = default;

  // Who may come in, wherever we listen; `refused` hears of each attempt that was turned away.
  // Once, before anything listens. `admission` outlives what listens.
  virtual void admit(Admission& admission, std::function<void(const std::string&)> refused) = 0;

  struct Listening {
    std::unique_ptr<PathSource> source;
    Endpoint bound;        // with the real port when 0 was asked for, and our key if we have one
    std::string remark{};  // what people should know of it; mostly nothing
  };
  // Throws Error(io) when the address cannot be bound, Error(try_again) when there is no socket.
  virtual Listening listen(const ListenerOptions& options) = 0;

  // Connects, and goes on connecting: one connection to one peer at a time.
  virtual std::unique_ptr<PathSource> dial(DialerOptions options) = 0;

  // Holes, to be met at through NATs. None where this transport has no such thing. Throws Error(io)
  // where a port cannot be had. `random` outlives it.
  virtual std::unique_ptr<Punching> punch(PunchingOptions, RandomSource& /*random*/) {
    return nullptr;
  }

  virtual std::unique_ptr<ControlLink> ask_relay(ControlLinkOptions options) = 0;
};

}  // namespace ptrain::net
