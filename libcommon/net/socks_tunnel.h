// One connection to a peer through a relay's SOCKS5 port (RFC 1928), made usable for libzmq.
//
// Dials the relay, presents a token, and waits until the relay has joined our stream with the
// peer's. From then on a socket of this host (an abstract one, "ipc://@...") leads to the peer:
// bytes are spliced between the two. Why not libzmq's own SOCKS client: 4.3.4 aborts the process
// ("Bad file descriptor", src/epoll.cpp) when a socket is closed whose proxy was unreachable.
//
// A thread of its own does the work and ends soon after the object does: a name that is slow to
// resolve holds nobody up. It gives up a relay that acknowledges nothing any more
// (os/tcp_silence.h). All functions from one thread.

#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "libcommon/net/carried_bytes.h"
#include "libcommon/net/local_splice.h"

namespace ptrain::net {

struct SocksTunnelOptions {
  std::string relay_host;  // a name or an address; IPv6 in brackets
  std::uint16_t relay_port = 0;
  std::string token;
  std::string known_address{};  // of the relay, if any: asked before its name is
  bool hearsay = false;         // a peer has named it: not every address is dialled
  // The tunnel dials a socket that is bound there, or binds there itself once it leads somewhere.
  LocalEnd local_end = LocalEnd::listens;
  std::string local_name;  // of the abstract socket, without '@'; unguessable
  std::shared_ptr<CarriedBytes> carried = std::make_shared<CarriedBytes>();
};

class SocksTunnel {
 public:
  enum class State {
    waiting,  // for the relay, or for the peer
    joined,   // bytes flow as soon as libzmq wants them to
    refused,  // the relay does not know the token, or no longer
    ended,    // what was joined has come to its end
    failed,   // the relay cannot be reached, or does not speak SOCKS
  };

  explicit SocksTunnel(SocksTunnelOptions options);
  ~SocksTunnel();
  SocksTunnel(const SocksTunnel&) = delete;
  SocksTunnel& operator=(const SocksTunnel&) = delete;

  int changed_fd() const;   // becomes readable when the state changes
  State state();            // takes note of the change
  std::string why() const;  // of refused and failed
  // The relay may have seen the token: it is of no more use.
  bool presented() const;
  std::string relay_address() const;  // that answered; empty while none has

 private:
  class Work;
  std::shared_ptr<Work> work_;
};

}  // namespace ptrain::net
