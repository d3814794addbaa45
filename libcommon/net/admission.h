// Who may come in at a listener: the question, and what decides it.
//
// Asked on the network thread only, of strangers: nothing of a caller is to be
// believed but its key.

#pragma once

#include <optional>
#include <string>
#include <variant>

#include "libcommon/net/endpoint.h"
#include "libcommon/net/peer_handle.h"
#include "libcommon/net/worker_id.h"
#include "libcommon/wire/frame.h"

namespace ptrain::net {

// What is known of a connection when its first frame has come.
struct Caller {
  const wire::Hello& hello;
  std::string key{};      // hexadecimal, proven by CURVE; empty on a plain socket
  std::string address{};  // what counts as one host: numeric, an IPv6 /64; empty on a socket file
};

struct Rejection {
  std::string why;
  std::optional<wire::Goodbye> answer{};  // what the caller is told; none: nothing at all
};

using Verdict = std::variant<PeerHandle, Rejection>;

class Admission {
 public:
  virtual ~Admission() = default;
  // Whether a connection with that key may be made at all.
  virtual bool admits(const PublicKey& key) const = 0;
  // For people here: what would let in a key that is not admitted; empty where nothing is to be
  // said.
  virtual std::string remedy_for(const PublicKey&) const { return ""; }
  // Whose connection it is. A handle that nobody has seen before is a new peer's.
  virtual Verdict judge(const Caller& caller) = 0;
  // We are about to end: those that are known may come back, and nobody else may come.
  virtual void admit_no_more() {}
  // The session with that peer is over.
  virtual void left(PeerHandle peer) = 0;
  // Who it is, as far as that is known: its key, and its name in the run. An empty name: it is
  // known by where it comes from.
  virtual WorkerId id_of(PeerHandle) const { return {}; }
};

}  // namespace ptrain::net
