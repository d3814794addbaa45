#include "libcommon/transfer/holder_pool.h"

#include <algorithm>

#include <fmt/format.h>

namespace ptrain::transfer {
namespace {

// A holder that owes something and of which not a byte has come for so long is of no use.
constexpr Duration kMaxSilence = std::chrono::seconds(60);

net::ClientOptions client_options(const HolderOptions& options) {
  return {.introduction = introduction(),
          .key = options.key,
          .connections = options.connections,
          .connect_timeout = options.connect_timeout};
}

}  // namespace

const Entry* Holder::find(const ckpt::CheckpointId& id) const {
  const auto found = std::ranges::find_if(listing, [&](const Entry& e) { return e.id == id; });
  return found == listing.end() ? nullptr : &*found;
}

bool Holder::holds(const ckpt::CheckpointId& id, StageIndex stage) const {
  const Entry* entry = find(id);
  return state == State::ready && entry != nullptr &&
         std::ranges::binary_search(entry->held, stage);
}

HolderPool::HolderPool(HolderOptions options, Log& log, const Clock& clock)
    : client_(client_options(options), log, clock), log_(log), clock_(clock) {
  if (options.endpoints.empty() || options.endpoints.size() > kMaxHolders) {
    throw Error(ErrorKind::usage, fmt::format("{} holders to fetch from, 1 to {} allowed",
                                              options.endpoints.size(), kMaxHolders));
  }
  for (const net::Endpoint& endpoint : options.endpoints) {
    const bool twice = std::ranges::any_of(
        holders_, [&](const Holder& holder) { return holder.endpoint == endpoint; });
    if (twice) continue;
    holders_.push_back({.endpoint = endpoint, .name = zmq_address(endpoint)});
    lines_.emplace_back();
    dial(HolderIndex(static_cast<std::uint32_t>(holders_.size() - 1)));
  }
}

void HolderPool::dial(HolderIndex holder) {
  Line& line = lines_[holder.value()];
  line = {.peer = client_.dial(holders_[holder.value()].endpoint),
          .asked = {},
          .useful = false,
          .last_progress = clock_.now()};
  holders_[holder.value()].state = Holder::State::coming;
}

bool HolderPool::any_left() const {
  return std::ranges::any_of(holders_,
                             [](const Holder& h) { return h.state != Holder::State::gone; });
}

bool HolderPool::any_coming() const {
  return std::ranges::any_of(holders_,
                             [](const Holder& h) { return h.state == Holder::State::coming; });
}

std::optional<HolderIndex> HolderPool::holder_of(net::PeerHandle peer) const {
  const auto found =
      std::ranges::find_if(lines_, [peer](const Line& line) { return line.peer == peer; });
  if (found == lines_.end()) return std::nullopt;
  return HolderIndex(static_cast<std::uint32_t>(found - lines_.begin()));
}

bool HolderPool::ask(HolderIndex holder, const Request& request) {
  if (holders_[holder.value()].state == Holder::State::gone) return false;
  Line& line = lines_[holder.value()];
  const std::uint64_t number = ++requests_;
  if (!client_.send(line.peer, request_message(number, request))) return false;
  if (line.asked.empty()) line.last_progress = clock_.now();
  line.asked.emplace(number, request);
  return true;
}

void HolderPool::credit(HolderIndex holder, ByteCount bytes) {
  ByteCount& sum = holders_[holder.value()].bytes;
  sum = ByteCount(sum.value() + bytes.value());
  lines_[holder.value()].useful = true;
}

void HolderPool::drop(HolderIndex index, Error why) {
  Holder& holder = holders_[index.value()];
  if (holder.state == Holder::State::gone) return;
  client_.hang_up(lines_[index.value()].peer);
  lines_[index.value()].asked.clear();
  holder.state = Holder::State::gone;
  log_.warning(fmt::format("going on without {}: {}", holder.name, why.what()));
  holder.failure = std::move(why);
}

// ---- What comes.

std::optional<HolderEvent> HolderPool::wait(Duration timeout) {
  if (auto stalled = find_stalled()) return stalled;
  auto event = client_.receive(timeout);
  return event ? take(std::move(*event)) : std::nullopt;
}

std::optional<HolderEvent> HolderPool::take(net::PeerEvent event) {
  if (const auto* joined = std::get_if<net::PeerJoined>(&event)) {
    if (const auto holder = holder_of(joined->peer)) ask(*holder, ListRequest{});
    return std::nullopt;
  }
  if (auto* message = std::get_if<net::PeerMessage>(&event)) {
    const auto holder = holder_of(message->from);
    return holder ? take(*holder, std::move(message->message)) : std::nullopt;
  }
  auto& lost = std::get<net::PeerLost>(event);
  const auto holder = holder_of(lost.peer);
  if (!holder || holders_[holder->value()].state == Holder::State::gone) return std::nullopt;
  return lose(*holder, std::move(lost.failure));
}

std::optional<HolderEvent> HolderPool::take(HolderIndex index, wire::Message message) {
  Line& line = lines_[index.value()];
  const auto asked = line.asked.find(message.name.step.value());
  if (asked == line.asked.end()) {
    return misbehaved(index, fmt::format("an answer to nothing: {}", to_string(message.name)));
  }
  Request request = asked->second;
  line.asked.erase(asked);
  line.last_progress = clock_.now();
  if (message.name.kind == wire::MessageKind::transfer_answer) {
    return take_answer(index, std::move(request), message);
  }
  if (message.name.kind != wire::MessageKind::transfer_bytes ||
      std::holds_alternative<ListRequest>(request)) {
    return misbehaved(
        index, fmt::format("{} as an answer to {}", to_string(message.name), to_string(request)));
  }
  return Answered{index, std::move(request), std::move(message.payload)};
}

std::optional<HolderEvent> HolderPool::take_answer(HolderIndex index, Request request,
                                                   const wire::Message& message) {
  auto answer = read_answer(message);
  if (const auto* malformed = std::get_if<wire::Malformed>(&answer)) {
    return misbehaved(index, malformed->why);
  }
  const bool listed = std::holds_alternative<Listing>(std::get<Answer>(answer));
  if (listed != std::holds_alternative<ListRequest>(request)) {
    return misbehaved(index, "an answer of the wrong kind to " + to_string(request));
  }
  if (!listed) {
    return Answered{index, std::move(request), std::get<Refusal>(std::get<Answer>(answer))};
  }
  Holder& holder = holders_[index.value()];
  holder.listing = std::get<Listing>(std::get<Answer>(std::move(answer)));
  holder.state = Holder::State::ready;
  return HolderReady{index};
}

// A holder that has sent something of use since it was dialled is dialled again: it was
// restarted, or has forgotten us.
HolderEvent HolderPool::lose(HolderIndex index, std::optional<Error> failure) {
  Holder& holder = holders_[index.value()];
  Line& line = lines_[index.value()];
  const bool may_help = !failure || failure->kind() == ErrorKind::unavailable ||
                        failure->kind() == ErrorKind::try_again;
  if (line.useful && may_help) {
    log_.info(fmt::format("{} again: {}", holder.name,
                          failure ? failure->what() : "it ended and may be started again"));
    dial(index);
    return HolderGone{index};
  }
  line.asked.clear();
  holder.state = Holder::State::gone;
  holder.failure =
      failure ? std::move(failure) : Error(ErrorKind::unavailable, holder.name + " has ended");
  log_.warning(fmt::format("going on without {}: {}", holder.name, holder.failure->what()));
  return HolderGone{index};
}

HolderEvent HolderPool::misbehaved(HolderIndex index, const std::string& how) {
  drop(index, Error(ErrorKind::corrupt, fmt::format("{} sent {}", (*this)[index].name, how)));
  return HolderGone{index};
}

std::optional<HolderEvent> HolderPool::find_stalled() {
  const TimePoint now = clock_.now();
  for (std::uint32_t i = 0; i < lines_.size(); ++i) {
    Line& line = lines_[i];
    if (holders_[i].state == Holder::State::gone || line.asked.empty()) continue;
    const std::uint64_t rx_bytes = client_.traffic(line.peer).bulk.rx_payload.value();
    if (rx_bytes != line.last_rx_bytes) line.last_progress = now;
    line.last_rx_bytes = rx_bytes;
    if (now - line.last_progress < kMaxSilence) continue;
    const HolderIndex index(i);
    drop(index, Error(ErrorKind::unavailable,
                      fmt::format("{} has sent nothing for {:.0f} s of {} requests",
                                  holders_[i].name, seconds(kMaxSilence), line.asked.size())));
    return HolderGone{index};
  }
  return std::nullopt;
}

Error HolderPool::exhausted() const {
  std::string reasons;
  bool busy = false;
  const Error* only = nullptr;
  for (const Holder& holder : holders_) {
    if (!holder.failure) continue;
    reasons += fmt::format("{}{}", reasons.empty() ? "" : "; ", holder.failure->what());
    busy = busy || holder.failure->kind() == ErrorKind::try_again;
    only = &*holder.failure;
  }
  if (holders_.size() == 1 && only != nullptr) return *only;
  return Error(busy ? ErrorKind::try_again : ErrorKind::unavailable,
               "no holder is left: " + reasons,
               "what has come is kept: the same command goes on from there");
}

}  // namespace ptrain::transfer
