#include "libcommon/net/node_desk.h"

#include <algorithm>
#include <chrono>

#include "libcommon/net/credit.h"

namespace ptrain::net {

NodeDesk::NodeDesk(DeskLimits limits, std::function<void()> wake)
    : limits_(limits), wake_(std::move(wake)) {}

void NodeDesk::wake_for_orders() {
  if (std::exchange(woken_, true)) return;
  wake_();
}

// ---- Peers.

// Those that come by themselves have their numbers from the admission: smaller ones.
PeerHandle NodeDesk::add(const WorkerId& peer) {
  PeerHandle handle;
  {
    const std::lock_guard lock(mutex_);
    handle = PeerHandle((std::uint64_t{1} << 32) + ++handles_given_);
  }
  add(peer, handle);
  return handle;
}

void NodeDesk::add(const WorkerId& peer, PeerHandle handle) {
  const std::lock_guard lock(mutex_);
  peers_[handle].id = peer;
  handles_[peer] = handle;
}

void NodeDesk::order_first(std::function<void()> order) {
  const std::lock_guard lock(mutex_);
  orders_.first.push_back(std::move(order));
  wake_for_orders();
}

void NodeDesk::order_last(std::function<void()> order) {
  const std::lock_guard lock(mutex_);
  orders_.last.push_back(std::move(order));
  wake_for_orders();
}

std::optional<PeerHandle> NodeDesk::handle_of(const WorkerId& peer) const {
  const std::lock_guard lock(mutex_);
  const auto found = handles_.find(peer);
  return found == handles_.end() ? std::nullopt : std::optional(found->second);
}

void NodeDesk::erase(PeerHandle peer) {
  const auto found = peers_.find(peer);
  if (found == peers_.end()) return;
  const auto handle = handles_.find(found->second.id);
  if (handle != handles_.end() && handle->second == peer) handles_.erase(handle);
  peers_.erase(found);
  std::erase(up_, peer);
  std::erase(room_, peer);
  refused_.erase(peer);
  std::erase_if(down_, [peer](const Loss& loss) { return loss.peer == peer; });
  for (auto& queue : inbox_) {
    std::erase_if(queue, [peer](const Arrived& arrived) { return arrived.from == peer; });
  }
}

void NodeDesk::forget(PeerHandle peer) {
  const std::lock_guard lock(mutex_);
  if (!peers_.contains(peer)) return;
  erase(peer);
  order_forgotten(peer);
  if (tell_of_room()) changed_.notify_all();
}

void NodeDesk::order_forgotten(PeerHandle peer) {
  forgotten_.insert(peer);
  orders_.forget.push_back(peer);
  wake_for_orders();
}

void NodeDesk::gone(PeerHandle peer) {
  {
    const std::lock_guard lock(mutex_);
    forgotten_.erase(peer);
  }
  changed_.notify_all();
}

std::optional<PeerStatus> NodeDesk::status(const WorkerId& peer) const {
  const std::lock_guard lock(mutex_);
  if (collapsed_) throw Error(*collapsed_);
  const auto found = handles_.find(peer);
  if (found == handles_.end()) return std::nullopt;
  const Books& books = peers_.at(found->second);
  PeerStatus status = books.status;
  status.traffic.queued = ByteCount(books.queued_cost());
  return status;
}

std::uint64_t NodeDesk::queued_cost(const WorkerId& peer) const {
  const std::lock_guard lock(mutex_);
  const auto found = handles_.find(peer);
  return found == handles_.end() ? 0 : peers_.at(found->second).queued_cost();
}

bool NodeDesk::wait(Duration timeout, bool (*done)(const PeerStatus&)) const {
  std::unique_lock lock(mutex_);
  const bool in_time = changed_.wait_for(lock, timeout, [&] {
    return collapsed_ || std::ranges::all_of(
                             peers_, [&](const auto& entry) { return done(entry.second.status); });
  });
  return in_time && !collapsed_;
}

bool NodeDesk::wait_until_drained(Duration timeout) const {
  std::unique_lock lock(mutex_);
  const auto drained = [](const auto& entry) { return entry.second.status.drained; };
  const bool in_time = changed_.wait_for(lock, timeout, [&] {
    return collapsed_ || (forgotten_.empty() && std::ranges::all_of(peers_, drained));
  });
  return in_time && !collapsed_;
}

// ---- Messages.

bool NodeDesk::send(const WorkerId& to, wire::Urgency urgency, wire::Message message, Rank rank) {
  const std::lock_guard lock(mutex_);
  const auto found = handles_.find(to);
  if (collapsed_ || found == handles_.end()) return false;
  Books& books = peers_.at(found->second);
  const std::uint64_t cost = message_cost(message.payload.size());
  if (books.status.lost() || books.loss_untold) return false;
  if (!has_room(books, cost)) {
    refused_.insert(found->second);
    return false;
  }
  books.posted_cost += cost;
  orders_.outgoing.push_back({found->second, urgency, rank, std::move(message)});
  wake_for_orders();
  return true;
}

// Those whose messages had no room because of what waited for the others.
bool NodeDesk::tell_of_room() {
  if (refused_.empty() || queued_for_all() > limits_.queues / 2) return false;
  bool told = false;
  for (auto peer = refused_.begin(); peer != refused_.end();) {
    if (peers_.at(*peer).queued_cost() > limits_.queue / 2) {
      ++peer;
      continue;
    }
    if (limits_.low_water > 0) room_.push_back(*peer);
    told = limits_.low_water > 0;
    peer = refused_.erase(peer);
  }
  return told;
}

std::uint64_t NodeDesk::queued_for_all() const {
  std::uint64_t all = 0;
  for (const auto& [peer, each] : peers_) {
    if (!each.loss_untold) all += each.queued_cost();
  }
  return all;
}

bool NodeDesk::has_room(const Books& books, std::uint64_t cost) const {
  const std::uint64_t queued = books.queued_cost() + cost;
  if (queued > limits_.queue) return false;
  if (queued <= kQueueShare) return true;
  return queued_for_all() + cost <= limits_.queues;
}

void NodeDesk::consumed(PeerHandle peer, std::uint64_t losses, wire::Urgency urgency,
                        std::uint64_t cost) {
  const std::lock_guard lock(mutex_);
  const auto found = peers_.find(peer);
  if (found == peers_.end() || found->second.losses != losses) return;
  orders_.consumed_cost[peer][static_cast<std::size_t>(urgency)] += cost;
  consumed_since_orders_ += cost;
  if (consumed_since_orders_ < limits_.wake_after) return;
  wake_for_orders();
}

void NodeDesk::enter(PeerHandle from, Books& books, wire::Urgency urgency, wire::Message message) {
  inbox_[static_cast<std::size_t>(urgency)].push_back({from, books.losses, std::move(message)});
  ++books.messages;
}

void NodeDesk::delivered(PeerHandle from, wire::Urgency urgency, wire::Message message) {
  {
    const std::lock_guard lock(mutex_);
    const auto found = peers_.find(from);
    if (found == peers_.end()) return;  // forgotten while it was on its way
    Books& books = found->second;
    if (books.loss_untold) {
      books.of_successor.emplace_back(urgency, std::move(message));
    } else {
      enter(from, books, urgency, std::move(message));
    }
  }
  changed_.notify_all();
}

// ---- Events.

Up NodeDesk::pop_up() {
  const PeerHandle peer = up_.front();
  up_.pop_front();
  return {peers_.at(peer).id};
}

Delivery NodeDesk::pop_message(wire::Urgency urgency) {
  auto& queue = inbox_[static_cast<std::size_t>(urgency)];
  Arrived arrived = std::move(queue.front());
  queue.pop_front();
  Books& books = peers_.at(arrived.from);
  --books.messages;
  const std::uint64_t cost = message_cost(arrived.message.payload.size());
  return {.from = books.id,
          .urgency = urgency,
          .message = std::move(arrived.message),
          .credit = Credit([this, peer = arrived.from, losses = arrived.losses, urgency, cost] {
            consumed(peer, losses, urgency, cost);
          })};
}

Down NodeDesk::pop_down(std::deque<Loss>::iterator at) {
  Loss loss = std::move(*at);
  down_.erase(at);
  Books& books = peers_.at(loss.peer);
  Down event{books.id, loss.why, std::move(loss.error), books.status.traffic};
  if (loss.why != net::Loss::restarted) {
    erase(loss.peer);
    order_forgotten(loss.peer);
    return event;
  }
  books.loss_untold = false;
  if (std::exchange(books.successor_up, false)) up_.push_back(loss.peer);
  for (auto& [urgency, message] : std::exchange(books.of_successor, {})) {
    enter(loss.peer, books, urgency, std::move(message));
  }
  return event;
}

NodeEvent NodeDesk::pop_news() {
  const WorkerId id = *news_.begin();
  news_.erase(news_.begin());
  Member& member = members_.at(id);
  member.told = member.there;
  if (member.there) return Seen{id};
  members_.erase(id);
  return Gone{id};
}

// A loss is told as soon as no message of that peer waits, whatever the others send; and who has
// come or gone, which is rare, before messages, which may be many.
std::optional<NodeEvent> NodeDesk::pop() {
  if (!up_.empty()) return pop_up();
  const auto told_all = [this](const Loss& loss) { return peers_.at(loss.peer).messages == 0; };
  const auto down = std::ranges::find_if(down_, told_all);
  if (down != down_.end()) return pop_down(down);
  if (!news_.empty()) return pop_news();
  for (const wire::Urgency urgency : wire::kAllUrgencies) {
    if (!inbox_[static_cast<std::size_t>(urgency)].empty()) return pop_message(urgency);
  }
  if (room_.empty()) return std::nullopt;
  const PeerHandle peer = room_.front();
  room_.pop_front();
  return Room{peers_.at(peer).id};
}

std::optional<NodeEvent> NodeDesk::next(Duration timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  std::unique_lock lock(mutex_);
  for (bool in_time = timeout > Duration::zero();;) {
    if (auto event = pop()) return event;
    if (collapsed_) throw Error(*collapsed_);
    if (!in_time) return std::nullopt;
    in_time = changed_.wait_until(lock, deadline) != std::cv_status::timeout;
  }
}

// ---- For the loop.

Orders NodeDesk::take_orders() {
  const std::lock_guard lock(mutex_);
  woken_ = false;
  consumed_since_orders_ = 0;
  return std::exchange(orders_, {});
}

void NodeDesk::published(PeerHandle peer, const PeerStatus& status) {
  bool matters = false;  // to someone who waits; the meter alone does not
  {
    const std::lock_guard lock(mutex_);
    const auto found = peers_.find(peer);
    if (found == peers_.end()) return;
    Books& books = found->second;
    const PeerStatus before = std::exchange(books.status, status);
    matters = before.state != status.state || before.drained != status.drained ||
              before.lost() != status.lost();
    const bool begins = before.state == Session::State::waiting || before.lost();
    if (begins && status.state == Session::State::open) {
      if (books.loss_untold) {
        books.successor_up = true;
      } else {
        up_.push_back(peer);
      }
    }
    if (!before.lost() && status.lost()) lose(peer, books);
    if (before.lost() && !status.lost()) books.posted_cost = 0;  // its successor's begins anew
    const std::uint64_t queued =
        books.posted_cost - std::min(books.posted_cost, before.acknowledged_cost);
    if (limits_.low_water > 0 && !books.loss_untold && queued > limits_.low_water &&
        books.queued_cost() <= limits_.low_water) {
      refused_.erase(peer);
      room_.push_back(peer);
      matters = true;
    }
    matters = tell_of_room() || matters;
  }
  if (matters) changed_.notify_all();
}

// One that was lost before its predecessor's loss was told, was never there.
void NodeDesk::lose(PeerHandle peer, Books& books) {
  const PeerStatus& status = books.status;
  const bool left = !status.failure && !status.hopeless;
  std::erase_if(down_, [peer](const Loss& loss) { return loss.peer == peer; });
  books.successor_up = false;
  books.of_successor.clear();
  books.loss_untold = true;
  ++books.losses;
  // What was meant for the process that has gone is not its successor's.
  std::erase_if(orders_.outgoing, [peer](const Orders::Message& each) { return each.to == peer; });
  orders_.consumed_cost.erase(peer);
  down_.push_back({peer, left ? net::Loss::left : status.loss,
                   status.failure ? status.failure : status.hopeless});
}

void NodeDesk::told_of(const WorkerId& id, bool there) {
  {
    const std::lock_guard lock(mutex_);
    Member& member = members_[id];
    member.there = there;
    if (member.there != member.told) {
      news_.insert(id);
    } else {
      news_.erase(id);
      if (!there) members_.erase(id);
    }
  }
  changed_.notify_all();
}

void NodeDesk::collapse(Error error) {
  {
    const std::lock_guard lock(mutex_);
    collapsed_ = std::move(error);
  }
  changed_.notify_all();
}

}  // namespace ptrain::net
