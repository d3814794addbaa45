// What a node tells of its peers, in the order in which it may be relied on: that a peer is there,
// its messages, that it is gone.

#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <utility>
#include <variant>

#include "libcommon/base/error.h"
#include "libcommon/net/session.h"
#include "libcommon/net/traffic.h"
#include "libcommon/net/worker_id.h"
#include "libcommon/wire/message.h"

namespace ptrain::net {

// What a message takes of what its sender may have under way: given back when this ends, which is
// when the message has been consumed. Any thread.
class Credit {
 public:
  Credit() = default;
  explicit Credit(std::function<void()> give_back) : give_back_(std::move(give_back)) {}
  ~Credit() { end(); }
  Credit(Credit&& other) noexcept : give_back_(std::exchange(other.give_back_, nullptr)) {}
  Credit& operator=(Credit&& other) noexcept {
    if (this == &other) return *this;
    end();
    give_back_ = std::exchange(other.give_back_, nullptr);
    return *this;
  }
  void end() {
    if (const auto give_back = std::exchange(give_back_, nullptr)) give_back();
  }

 private:
  std::function<void()> give_back_;
};

struct Up {
  WorkerId peer;
};

struct Delivery {
  WorkerId from;
  wire::Urgency urgency = wire::Urgency::control;
  wire::Message message;
  Credit credit;
};

// Nothing more comes of it. A peer that was restarted is awaited, and is Up again when it comes;
// of every other loss nothing is known of it from here on.
struct Down {
  WorkerId peer;
  Loss why = Loss::left;
  std::optional<Error> error;  // none: it said goodbye
  Traffic traffic;             // all there was
};

// What is queued for it has become little again (NodeOptions::low_water).
struct Room {
  WorkerId peer;
};

// The run's relays have a member of that key and name (WorkerId): whether or not it is a peer, and
// whether or not it can be reached. Of us nothing is told.
struct Seen {
  WorkerId member;
};

// None of the relays that can be asked has it any more. A session with it goes on as it can.
struct Gone {
  WorkerId member;
};

using NodeEvent = std::variant<Up, Delivery, Down, Room, Seen, Gone>;

}  // namespace ptrain::net
