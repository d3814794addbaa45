// Messages between the workers of a job, as events: nothing here blocks but next(), for as long as
// it is told. The one that sends a message is the one whose session it came over, and a message in
// the name of a cell that its sender does not hold never gets here.
//
// send() may be called from any thread, everything else from one.

#pragma once

#include <optional>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "libcommon/base/clock.h"
#include "libcommon/base/error.h"
#include "libcommon/net/mesh.h"
#include "libcommon/net/traffic.h"
#include "libcommon/wire/message.h"
#include "tools/stage/engine/cell_state.h"
#include "tools/stage/engine/place.h"

namespace ptrain::stage {

// A message, and what it takes of its sender's credit until it is consumed.
struct Letter {
  wire::Message message;
  net::Credit credit;
};

// All that a worker had to say is here, and nothing more will come: it said goodbye, or it is lost,
// with the reason.
struct Gone {
  WorkerIndex worker;
  std::optional<Error> loss;
};

// The queue for that worker has become short.
struct Room {
  WorkerIndex worker;
};

using PostEvent = std::variant<Letter, Gone, Room>;

class Post {
 public:
  // Who sends more than it is answered waits while more than `send_ahead` is queued for the
  // receiver.
  Post(const Place& place, ByteCount send_ahead) : place_(place), send_ahead_(send_ahead) {}
  virtual ~Post() = default;
  Post(const Post&) = delete;
  Post& operator=(const Post&) = delete;

  const Place& place() const { return place_; }

  // Throws what a loss is, Error(unavailable), when `to` is lost or has left.
  virtual void send(WorkerIndex to, wire::Message message) = 0;
  // Bytes that are no tensor.
  void send(WorkerIndex to, const wire::MessageName& name, wire::Buffer payload);
  // In the name of the lowest cell that we hold.
  void send(WorkerIndex to, wire::MessageKind kind, Step step, std::span<const std::byte> payload);

  // The next event; nullopt when there was none in that time.
  virtual std::optional<PostEvent> next(Duration timeout) = 0;

  // Sent to it and not yet acknowledged.
  virtual ByteCount queued(WorkerIndex to) const = 0;
  bool has_room(WorkerIndex to) const { return queued(to) <= send_ahead_; }

  // How the messages of each correspondent travel now.
  virtual std::vector<std::pair<WorkerIndex, net::Traffic>> traffic() const = 0;
  virtual std::vector<net::LostLink> lost_links() const = 0;
  // Tells the others that we have failed and why.
  virtual void fail(std::string_view why) = 0;

 private:
  Place place_;
  ByteCount send_ahead_;
};

}  // namespace ptrain::stage
