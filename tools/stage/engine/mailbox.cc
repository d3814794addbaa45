#include "tools/stage/engine/mailbox.h"

#include <algorithm>
#include <thread>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "tools/stage/engine/stopwatch.h"

namespace ptrain::stage {
namespace {

// How long one wait for the mesh lasts before stop requests are looked at again.
constexpr Duration kWaitSlice = std::chrono::milliseconds(100);
constexpr Duration kQueueSlice = std::chrono::milliseconds(1);

}  // namespace

Mailbox::Mailbox(net::Mesh* mesh, StageIndex self, std::uint32_t stages, const os::StopSignal& stop,
                 const Clock& clock)
    : mesh_(mesh), self_(self), stages_(stages), stop_(stop), clock_(clock) {}

void Mailbox::send(StageIndex to, wire::MessageKind kind, Step step, MicrobatchIndex microbatch,
                   wire::TensorInfo tensor, wire::Buffer payload) {
  mesh_->send(
      to,
      {.name = {.epoch = 0, .step = step, .microbatch = microbatch, .kind = kind, .source = self_},
       .tensor = std::move(tensor),
       .payload = std::move(payload)});
}

void Mailbox::send(StageIndex to, wire::MessageKind kind, Step step,
                   std::span<const std::byte> payload) {
  send(to, kind, step, MicrobatchIndex(0), {}, wire::Buffer::copy_of(payload));
}

wire::Message Mailbox::await(wire::MessageKind kind, Step step, MicrobatchIndex microbatch,
                             StageIndex source) {
  const Stopwatch waiting(clock_, waited_);
  const Stopwatch waiting_for_this(clock_, waited_for_[kind]);
  const TimePoint since = clock_.now();
  const wire::MessageName name{
      .epoch = 0, .step = step, .microbatch = microbatch, .kind = kind, .source = source};
  for (;;) {
    if (auto found = early_.extract(name)) {
      wait_is_over(since);
      return std::move(found.mapped());
    }
    check_stop("the wait for " + wire::to_string(name));
    // Of one that has left, all that it sent is here, or waits to be taken.
    const bool left = mesh_ != nullptr && mesh_->departed(source);
    if (receive_one(left ? Duration::zero() : kWaitSlice)) continue;
    if (!left) {
      report_wait(wire::to_string(name), since);
      continue;
    }
    throw Error(ErrorKind::unavailable,
                fmt::format("stage {} has left without {}", source.value(), wire::to_string(name)));
  }
}

std::optional<wire::Message> Mailbox::take(wire::MessageKind kind, Step step, StageIndex source) {
  receive_one(Duration::zero());
  const wire::MessageName name{
      .epoch = 0, .step = step, .microbatch = MicrobatchIndex(0), .kind = kind, .source = source};
  auto found = early_.extract(name);
  if (!found) return std::nullopt;
  return std::move(found.mapped());
}

void Mailbox::await_queue(StageIndex to, ByteCount most) {
  const Stopwatch waiting(clock_, waited_);
  const TimePoint since = clock_.now();
  ByteCount queued = mesh_->traffic(to).queued;
  for (TimePoint moved = clock_.now(); queued > most;) {
    check_stop(fmt::format("sending to stage {}", to.value()));
    // Taking messages in shows when a peer is lost; taking in too many would only move the
    // queue from the sender before us into our memory.
    if (early_.size() < kMostEarlyMessages) {
      receive_one(kQueueSlice);
    } else {
      std::this_thread::sleep_for(kQueueSlice);
    }
    report_wait(fmt::format("stage {} to take what is sent", to.value()), since);
    const ByteCount now = mesh_->traffic(to).queued;
    if (now != queued) moved = clock_.now();
    queued = now;
    if (clock_.now() - moved > kQueueTimeout) {
      throw Error(ErrorKind::unavailable,
                  fmt::format("stage {} took none of the {} bytes queued for it in {} s",
                              to.value(), queued.value(), seconds(kQueueTimeout)));
    }
  }
  wait_is_over(since);
}

void Mailbox::await_any(std::string_view what, TimePoint since) {
  const Stopwatch waiting(clock_, waited_);
  check_stop("the checkpoint", kFinishCheckpointWithin);
  if (!receive_one(kWaitSlice)) report_wait(what, since);
}

void Mailbox::report_wait(std::string_view what, TimePoint since) {
  if (waits_ == nullptr) return;
  const TimePoint now = clock_.now();
  if (reported_at_ && now - *reported_at_ < kWaitSlice) return;
  reported_at_ = now;
  if (mesh_ != nullptr) waits_->lost_links(mesh_->lost_links());
  waits_->waiting(what, since);
}

void Mailbox::wait_is_over(TimePoint since) {
  if (waits_ == nullptr) return;
  if (mesh_ != nullptr && waits_->link_is_lost()) waits_->lost_links(mesh_->lost_links());
  waits_->over(since);
}

void Mailbox::check_stop(std::string_view what, Duration within) {
  if (!stop_.requested()) return;
  if (!stop_seen_) stop_seen_ = clock_.now();
  if (clock_.now() - *stop_seen_ > within) {
    throw Abandoned(
        fmt::format("told to stop, and {} did not end within {} s", what, seconds(within)));
  }
}

void Mailbox::fail(std::string_view why) {
  if (mesh_ != nullptr) mesh_->fail(why);
}

ByteCount Mailbox::tx_bytes() const {
  std::uint64_t total = 0;
  for (const StageIndex peer : correspondents(self_, stages_)) {
    total += mesh_->traffic(peer).tx_bytes().value();
  }
  return ByteCount(total);
}

ByteCount Mailbox::rx_bytes() const {
  std::uint64_t total = 0;
  for (const StageIndex peer : correspondents(self_, stages_)) {
    total += mesh_->traffic(peer).rx_bytes().value();
  }
  return ByteCount(total);
}

std::vector<std::pair<StageIndex, net::Traffic>> Mailbox::traffic() const {
  std::vector<std::pair<StageIndex, net::Traffic>> all;
  if (mesh_ == nullptr) return all;
  for (const StageIndex peer : correspondents(self_, stages_)) {
    all.emplace_back(peer, mesh_->traffic(peer));
  }
  return all;
}

bool Mailbox::receive_one(Duration timeout) {
  if (mesh_ == nullptr) {  // a job of one stage: nobody writes, but time passes
    std::this_thread::sleep_for(timeout);
    return false;
  }
  auto message = mesh_->receive(timeout);
  // A message that is here already under this name says the same: the first one stays.
  if (message) early_.try_emplace(message->name, std::move(*message));
  return message.has_value();
}

std::set<StageIndex> correspondents(StageIndex self, std::uint32_t stages) {
  std::set<StageIndex> others;
  for (std::uint32_t i = 0; i < stages; ++i) {
    const StageIndex other(i);
    const std::uint32_t low = std::min(i, self.value());
    const std::uint32_t high = std::max(i, self.value());
    if (other != self && (high - low == 1 || low == 0)) others.insert(other);
  }
  return others;
}

}  // namespace ptrain::stage
