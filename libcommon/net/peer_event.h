// What becomes known of peers that come and go, in the order in which it may be relied on:
// that a peer is there, its messages, that it is gone.

#pragma once

#include <optional>
#include <variant>

#include "libcommon/base/error.h"
#include "libcommon/net/peer_handle.h"
#include "libcommon/wire/message.h"

namespace ptrain::net {

struct PeerJoined {
  PeerHandle peer;
};

struct PeerMessage {
  PeerHandle from;
  wire::Message message;
};

// The handle means nothing from here on.
struct PeerLost {
  PeerHandle peer;
  std::optional<Error> failure;  // none: it said goodbye
};

using PeerEvent = std::variant<PeerJoined, PeerMessage, PeerLost>;

}  // namespace ptrain::net
