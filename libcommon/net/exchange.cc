#include "libcommon/net/exchange.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include <fmt/format.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace ptrain::net {

Exchange::Exchange(ExchangeLimits limits)
    : limits_(limits), wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!wake_.valid()) throw io_error("make an eventfd", errno);
}

void Exchange::wake() {
  const std::uint64_t one = 1;
  // It fails only when the counter is full, and then the thread wakes anyway.
  [[maybe_unused]] const auto written = ::write(wake_.get(), &one, sizeof one);
}

const Exchange::PeerBooks& Exchange::books(PeerHandle peer) const {
  const auto found = peers_.find(peer);
  if (found == peers_.end()) {
    throw Error(ErrorKind::internal, fmt::format("stage {} is no peer of ours", peer.value()));
  }
  return found->second;
}

Exchange::PeerBooks& Exchange::books(PeerHandle peer) {
  return const_cast<PeerBooks&>(std::as_const(*this).books(peer));
}

// ---- Messages out.

void Exchange::post(PeerHandle to, wire::Message message) {
  const std::lock_guard lock(mutex_);
  PeerBooks& peer = books(to);
  if (collapsed_) throw Error(*collapsed_);
  if (peer.status.failure) throw Error(*peer.status.failure);
  if (peer.status.state == Session::State::departed) {
    throw Error(ErrorKind::unavailable,
                fmt::format("send {}: {} has said goodbye", to_string(message.name), peer.name));
  }
  enqueue(to, peer, std::move(message));
}

bool Exchange::try_post(PeerHandle to, wire::Message message) {
  const std::lock_guard lock(mutex_);
  if (collapsed_) throw Error(*collapsed_);
  const auto found = peers_.find(to);
  if (found == peers_.end() || found->second.status.lost()) return false;
  enqueue(to, found->second, std::move(message));
  return true;
}

void Exchange::enqueue(PeerHandle to, PeerBooks& peer, wire::Message message) {
  const std::uint64_t cost = message_cost(message.payload.size());
  if (peer.queued_cost() + cost > limits_.queue) {
    throw Error(ErrorKind::unavailable,
                fmt::format("send {}: {} bytes wait for {} already, at most {} allowed",
                            to_string(message.name), peer.queued_cost(), peer.name, limits_.queue),
                "that stage or the link to it is slower than this one");
  }
  peer.posted_cost += cost;
  const bool first = orders_.outgoing.empty();
  orders_.outgoing.emplace_back(to, std::move(message));
  if (first) wake();
}

// ---- Messages in.

std::optional<PeerMessage> Exchange::pop_message() {
  for (auto& queue : inbox_) {
    if (queue.empty()) continue;
    PeerMessage delivered = std::move(queue.front());
    queue.pop_front();
    const auto channel = static_cast<std::size_t>(channel_of(delivered.message.name.kind));
    const std::uint64_t cost = message_cost(delivered.message.payload.size());
    orders_.consumed_cost[delivered.from][channel] += cost;
    consumed_since_orders_ += cost;
    if (consumed_since_orders_ >= limits_.wake_after) {
      consumed_since_orders_ = 0;
      wake();
    }
    return delivered;
  }
  return std::nullopt;
}

void Exchange::throw_if_lost() const {
  if (collapsed_) throw Error(*collapsed_);
  for (const auto& [handle, peer] : peers_) {
    if (peer.status.failure) throw Error(*peer.status.failure);
  }
}

std::optional<PeerMessage> Exchange::receive(Duration timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  std::unique_lock lock(mutex_);
  while (true) {
    if (auto delivered = pop_message()) return delivered;
    throw_if_lost();
    if (changed_.wait_until(lock, deadline) == std::cv_status::timeout) {
      if (inbox_[0].empty() && inbox_[1].empty()) {
        throw_if_lost();
        return std::nullopt;
      }
    }
  }
}

std::optional<PeerEvent> Exchange::pop_event() {
  if (!joined_.empty()) {
    const PeerHandle peer = joined_.front();
    joined_.pop_front();
    return PeerJoined{peer};
  }
  if (auto delivered = pop_message()) return std::move(*delivered);
  if (lost_.empty()) return std::nullopt;
  const PeerHandle peer = lost_.front();
  lost_.pop_front();
  const PeerStatus& status = books(peer).status;
  PeerLost event{peer, status.failure ? status.failure : status.hopeless};
  forget(peer);
  return event;
}

std::optional<PeerEvent> Exchange::next_event(Duration timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  std::unique_lock lock(mutex_);
  bool in_time = true;
  while (true) {
    if (auto event = pop_event()) return event;
    if (collapsed_) throw Error(*collapsed_);
    if (std::exchange(room_again_, false) || !in_time) return std::nullopt;
    in_time = changed_.wait_until(lock, deadline) != std::cv_status::timeout;
  }
}

void Exchange::forget(PeerHandle peer) {
  peers_.erase(peer);
  std::erase(joined_, peer);
  std::erase(lost_, peer);
  for (auto& queue : inbox_) {
    std::erase_if(queue, [peer](const PeerMessage& message) { return message.from == peer; });
  }
  orders_.forget.push_back(peer);
  wake();
}

// ---- What is known.

PeerStatus Exchange::status(PeerHandle peer) const {
  const std::lock_guard lock(mutex_);
  if (collapsed_) throw Error(*collapsed_);
  return books(peer).status;
}

Traffic Exchange::traffic(PeerHandle peer) const {
  const std::lock_guard lock(mutex_);
  const auto found = peers_.find(peer);
  if (found == peers_.end()) return {};
  Traffic traffic = found->second.status.traffic;
  traffic.queued = ByteCount(found->second.queued_cost());
  return traffic;
}

std::uint64_t Exchange::queued_cost(PeerHandle peer) const {
  const std::lock_guard lock(mutex_);
  const auto found = peers_.find(peer);
  return found == peers_.end() ? 0 : found->second.queued_cost();
}

bool Exchange::wait(Duration timeout, bool (*done)(const PeerStatus&)) const {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, timeout, [&] {
    return collapsed_ || std::all_of(peers_.begin(), peers_.end(),
                                     [&](const auto& entry) { return done(entry.second.status); });
  });
}

// ---- Orders.

void Exchange::order_dial(PeerHandle peer, const Endpoint& endpoint, std::string name) {
  const std::lock_guard lock(mutex_);
  peers_[peer].name = std::move(name);
  orders_.dial.emplace_back(peer, endpoint);
  wake();
}

void Exchange::order_dismissal(PeerHandle peer, std::string why) {
  const std::lock_guard lock(mutex_);
  orders_.dismiss.emplace_back(peer, std::move(why));
  wake();
}

void Exchange::order_forget(PeerHandle peer) {
  const std::lock_guard lock(mutex_);
  if (peers_.contains(peer)) forget(peer);
}

void Exchange::order_allow(PathKinds kinds) {
  const std::lock_guard lock(mutex_);
  orders_.allow = kinds;
  wake();
}

void Exchange::order_settle() {
  const std::lock_guard lock(mutex_);
  orders_.settle = true;
  wake();
}

void Exchange::order_goodbye(std::string reason) {
  const std::lock_guard lock(mutex_);
  orders_.goodbye = std::move(reason);
  wake();
}

void Exchange::order_stop() {
  const std::lock_guard lock(mutex_);
  orders_.stop = true;
  wake();
}

// ---- For the network thread.

Orders Exchange::take_orders() {
  std::uint64_t ignored = 0;
  [[maybe_unused]] const auto got = ::read(wake_.get(), &ignored, sizeof ignored);
  const std::lock_guard lock(mutex_);
  return std::exchange(orders_, {});
}

void Exchange::add(PeerHandle peer, std::string name) {
  const std::lock_guard lock(mutex_);
  peers_[peer].name = std::move(name);
}

void Exchange::deliver(PeerHandle from, wire::Message message) {
  const auto channel = static_cast<std::size_t>(channel_of(message.name.kind));
  {
    const std::lock_guard lock(mutex_);
    if (!peers_.contains(from)) return;  // forgotten while it was on its way
    inbox_[channel].push_back({from, std::move(message)});
  }
  changed_.notify_all();
}

void Exchange::publish(PeerHandle peer, PeerStatus status) {
  bool matters = false;  // to someone who waits; the meter alone does not
  {
    const std::lock_guard lock(mutex_);
    const auto found = peers_.find(peer);
    if (found == peers_.end()) return;
    PeerStatus& known = found->second.status;
    matters = known.state != status.state || known.drained != status.drained ||
              known.failure.has_value() != status.failure.has_value() ||
              known.hopeless.has_value() != status.hopeless.has_value();
    const bool was_waiting = known.state == Session::State::waiting;
    if (was_waiting && status.state == Session::State::open) joined_.push_back(peer);
    if (!known.lost() && status.lost()) lost_.push_back(peer);
    const std::uint64_t before = found->second.queued_cost();
    known = std::move(status);
    if (before > limits_.low_water && found->second.queued_cost() <= limits_.low_water) {
      room_again_ = true;
      matters = matters || limits_.low_water > 0;
    }
  }
  if (matters) changed_.notify_all();
}

void Exchange::collapse(Error error) {
  {
    const std::lock_guard lock(mutex_);
    collapsed_ = std::move(error);
  }
  changed_.notify_all();
}

}  // namespace ptrain::net
