#include "tools/stage/engine/post.h"

namespace ptrain::stage {

void Post::send(StageIndex to, wire::MessageKind kind, Step step, MicrobatchIndex microbatch,
                Rows rows) {
  send(to, {.name = {.epoch = 0,
                     .step = step,
                     .microbatch = microbatch,
                     .kind = kind,
                     .source = place_.self},
            .tensor = std::move(rows.tensor),
            .payload = std::move(rows.payload)});
}

void Post::send(StageIndex to, wire::MessageKind kind, Step step,
                std::span<const std::byte> payload) {
  Rows opaque;
  opaque.payload = wire::Buffer::copy_of(payload);
  send(to, kind, step, MicrobatchIndex(0), std::move(opaque));
}

}  // namespace ptrain::stage
