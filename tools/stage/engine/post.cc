#include "tools/stage/engine/post.h"

#include <utility>

namespace ptrain::stage {

void Post::send(WorkerIndex to, const wire::MessageName& name, wire::Buffer payload) {
  wire::Message message;
  message.name = name;
  message.payload = std::move(payload);
  send(to, std::move(message));
}

void Post::send(WorkerIndex to, wire::MessageKind kind, Step step,
                std::span<const std::byte> payload) {
  wire::MessageName name;
  name.step = step;
  name.kind = kind;
  name.source = place_.stage();
  name.lane = place_.lowest_lane();
  send(to, name, wire::Buffer::copy_of(payload));
}

}  // namespace ptrain::stage
