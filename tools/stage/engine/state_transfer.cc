#include "tools/stage/engine/state_transfer.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "libcommon/base/error.h"

namespace ptrain::stage {

using wire::MessageKind;

// ---- The one that has it.

StateHandOut::StateHandOut(Post& post, Step step, StateTensors state)
    : post_(post), step_(step), state_(std::move(state)) {
  for (const auto* part : {&state_.model, &state_.optim}) {
    for (const ckpt::TensorView& tensor : *part) {
      for (std::size_t at = 0; at < tensor.bytes.size(); at += kStateSliceBytes) {
        const std::size_t left = tensor.bytes.size() - at;
        slices_.push_back(tensor.bytes.subspan(at, std::min<std::size_t>(left, kStateSliceBytes)));
      }
    }
  }
  for (const WorkerIndex worker : post.place().holders()) {
    if (worker != post.place().self()) receivers_.push_back({.worker = worker});
  }
}

bool StateHandOut::advance() {
  bool all_sent = true;
  for (Receiver& receiver : receivers_) {
    while (receiver.next < slices_.size() && post_.has_room(receiver.worker)) {
      post_.send(receiver.worker,
                 name_of(MessageKind::cell_state, step_, post_.place().cells().front(),
                         MicrobatchIndex(0), receiver.next),
                 wire::Buffer::copy_of(slices_[receiver.next]));
      ++receiver.next;
    }
    if (receiver.next == slices_.size()) continue;
    awaits_ = receiver.worker;
    all_sent = false;
  }
  return all_sent;
}

// ---- The one that wants it.

StateTakeOver::StateTakeOver(const Place& place, Step step, const StateTensors& shape)
    : from_{place.stage(), LaneIndex(0)}, step_(step) {
  for (const auto* part : {&shape.model, &shape.optim}) {
    for (const ckpt::TensorView& tensor : *part) {
      tensors_.push_back({.name = tensor.info.name, .bytes = tensor.bytes.size()});
    }
  }
}

wire::MessageName StateTakeOver::awaited() const {
  return name_of(MessageKind::cell_state, step_, from_, MicrobatchIndex(0), part_);
}

bool StateTakeOver::advance(Inbox& inbox) {
  for (; tensor_ < tensors_.size(); ++tensor_) {
    Tensor& tensor = tensors_[tensor_];
    while (tensor.arrived_bytes < tensor.bytes) {
      auto message = inbox.take(awaited());
      if (!message) return false;
      const std::uint64_t expected =
          std::min(kStateSliceBytes, tensor.bytes - tensor.arrived_bytes);
      if (message->payload.size() != expected) {
        throw Error(ErrorKind::corrupt,
                    fmt::format("{}: {} bytes of {}, expected {}", wire::to_string(message->name),
                                message->payload.size(), tensor.name, expected));
      }
      tensor.arrived_bytes += expected;
      tensor.slices.push_back(std::move(message->payload));
      ++part_;
    }
  }
  return true;
}

TensorSource StateTakeOver::source() const {
  return [this](const std::string& name, std::span<std::byte> into) {
    const auto found = std::ranges::find(tensors_, name, &Tensor::name);
    if (found == tensors_.end() || found->bytes != into.size()) {
      throw Error(ErrorKind::corrupt, fmt::format("no tensor {} of {} bytes in the state of {}",
                                                  name, into.size(), job::to_string(from_)));
    }
    std::size_t at = 0;
    for (const wire::Buffer& slice : found->slices) {
      std::memcpy(into.data() + at, slice.data(), slice.size());
      at += slice.size();
    }
  };
}

}  // namespace ptrain::stage
