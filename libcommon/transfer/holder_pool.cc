#include "libcommon/transfer/holder_pool.h"

#include <algorithm>

#include <fmt/format.h>

#include "libcommon/net/seeker_admission.h"

namespace ptrain::transfer {
namespace {

// Answers are one record, one manifest or one chunk.
constexpr std::uint64_t kLargestAnswer =
    std::max({ckpt::kMaxRecordBytes, ckpt::kMaxManifestBytes, std::size_t{ckpt::kChunkBytes}});

// What may wait for one holder: requests, which are small.
constexpr ByteCount kQueueLimit{64u << 20};
// What holders can make us say: then one line in five seconds.
constexpr unsigned kLinesAtOnce = 16;
// The places of the hello; the other one is the holder's.
constexpr StageIndex kHolderPlace{0};
constexpr StageIndex kFetcherPlace{1};

std::string when_refused(const std::optional<net::KeyPair>& key) {
  if (!key) return "";
  return fmt::format("its owner lets you in with: ptrain-ckpt serve --admit {}",
                     net::to_hex(key->public_key()));
}

net::NodeOptions node_options(const HolderOptions& options) {
  return {.introduction = introduction(),
          .self = kFetcherPlace,
          .key = options.key,
          .when_refused = when_refused(options.key),
          .connections = options.connections,
          .message_limit = ByteCount(kLargestAnswer),
          .queue_limit = kQueueLimit,
          .appear_timeout = options.connect_timeout};
}

// Those that are named have the handles before.
std::unique_ptr<net::Company> company_for(const HolderOptions& options) {
  if (!options.meeting) return nullptr;
  return std::make_unique<net::SeekerAdmission>(std::string(kHolderRoles),
                                                net::PeerHandle(kMaxHolders), kMaxHolders);
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
    : patience_(options.patience),
      least_bytes_per_s_(options.least_bytes_per_s),
      node_(node_options(options), company_for(options), log, clock),
      log_(log, kLinesAtOnce),
      clock_(clock) {
  if ((options.endpoints.empty() && !options.meeting) || options.endpoints.size() > kMaxHolders) {
    throw Error(ErrorKind::usage, fmt::format("{} holders to fetch from, 1 to {} allowed",
                                              options.endpoints.size(), kMaxHolders));
  }
  if (options.meeting) {
    search_until_ = clock.now() + options.connect_timeout;
    node_.meet(*options.meeting, draw_role(kFetcherRoles));
  }
  node_.start();
  for (const net::Endpoint& endpoint : options.endpoints) {
    const bool twice = std::ranges::any_of(
        holders_, [&](const Holder& holder) { return holder.endpoint == endpoint; });
    if (twice) continue;
    dial(add(endpoint, zmq_address(endpoint)));
  }
}

HolderIndex HolderPool::add(std::optional<net::Endpoint> endpoint, std::string name) {
  holders_.push_back({.endpoint = std::move(endpoint), .name = std::move(name)});
  lines_.emplace_back();
  return HolderIndex(static_cast<std::uint32_t>(holders_.size() - 1));
}

void HolderPool::dial(HolderIndex holder) {
  Line& line = lines_[holder.value()];
  const net::Endpoint& endpoint = *holders_[holder.value()].endpoint;
  node_.drop(line.peer);  // where it was restarted, it is known still
  line = {.peer = net::WorkerId::at(endpoint),
          .asked = {},
          .useful = false,
          .window_began = clock_.now()};
  holders_[holder.value()].state = Holder::State::coming;
  node_.seek(line.peer, endpoint, kHolderPlace, zmq_address(endpoint));
}

bool HolderPool::any_left() const {
  return searching() || std::ranges::any_of(holders_, [](const Holder& h) {
           return h.state != Holder::State::gone;
         });
}

bool HolderPool::any_coming() const {
  return searching() || std::ranges::any_of(holders_, [](const Holder& h) {
           return h.state == Holder::State::coming;
         });
}

std::optional<HolderIndex> HolderPool::holder_of(const net::WorkerId& peer) const {
  const auto found =
      std::ranges::find_if(lines_, [&peer](const Line& line) { return line.peer == peer; });
  if (found == lines_.end()) return std::nullopt;
  return HolderIndex(static_cast<std::uint32_t>(found - lines_.begin()));
}

bool HolderPool::ask(HolderIndex holder, const Request& request) {
  if (holders_[holder.value()].state == Holder::State::gone) return false;
  Line& line = lines_[holder.value()];
  const std::uint64_t number = ++requests_;
  if (!node_.send(line.peer, wire::Urgency::control, request_message(number, request)))
    return false;
  if (line.asked.empty()) begin_window(line);
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
  node_.drop(lines_[index.value()].peer);
  lines_[index.value()].asked.clear();
  holder.state = Holder::State::gone;
  log_.warn(fmt::format("going on without {}: {}", holder.name, why.what()), clock_.now());
  holder.failure = std::move(why);
}

// ---- What comes.

std::optional<HolderEvent> HolderPool::wait(Duration timeout) {
  if (auto stalled = find_stalled()) return stalled;
  auto event = node_.next(timeout);
  return event ? take(std::move(*event)) : std::nullopt;
}

std::optional<HolderEvent> HolderPool::take(net::NodeEvent event) {
  if (const auto* up = std::get_if<net::Up>(&event)) {
    greet(up->peer);
    return std::nullopt;
  }
  if (auto* delivery = std::get_if<net::Delivery>(&event)) {
    const auto holder = holder_of(delivery->from);
    return holder ? take(*holder, std::move(delivery->message)) : std::nullopt;
  }
  auto* down = std::get_if<net::Down>(&event);
  const auto holder = down == nullptr ? std::nullopt : holder_of(down->peer);
  if (!holder || holders_[holder->value()].state == Holder::State::gone) return std::nullopt;
  return lose(*holder, std::move(down->error));
}

// One that relays told of may have been lost, and come again; not so one that we have sent away.
void HolderPool::greet(const net::WorkerId& peer) {
  auto holder = holder_of(peer);
  if (!holder) {
    holder = add(std::nullopt, peer.name);
    lines_[holder->value()].peer = peer;
  }
  Holder& known = holders_[holder->value()];
  const bool lost = known.state == Holder::State::gone && !known.endpoint &&
                    known.failure->kind() == ErrorKind::unavailable;
  if (lost) known.state = Holder::State::coming;
  ask(*holder, ListRequest{});
}

std::optional<HolderEvent> HolderPool::take(HolderIndex index, wire::Message message) {
  Line& line = lines_[index.value()];
  const auto asked = line.asked.find(message.name.step.value());
  if (asked == line.asked.end()) {
    return misbehaved(index, fmt::format("an answer to nothing: {}", to_string(message.name)));
  }
  Request request = asked->second;
  line.asked.erase(asked);
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
  if (line.useful && may_help && holder.endpoint) {
    log_.inform(fmt::format("{} again: {}", holder.name,
                            failure ? failure->what() : "it ended and may be started again"),
                clock_.now());
    dial(index);
    return HolderGone{index};
  }
  line.asked.clear();
  node_.drop(line.peer);
  holder.state = Holder::State::gone;
  holder.failure =
      failure ? std::move(failure) : Error(ErrorKind::unavailable, holder.name + " has ended");
  const std::string& hint = holder.failure->hint();
  log_.warn(fmt::format("going on without {}: {}{}{}", holder.name, holder.failure->what(),
                        hint.empty() ? "" : "; ", hint),
            clock_.now());
  return HolderGone{index};
}

HolderEvent HolderPool::misbehaved(HolderIndex index, const std::string& how) {
  drop(index, Error(ErrorKind::corrupt, fmt::format("{} sent {}", (*this)[index].name, how)));
  return HolderGone{index};
}

std::uint64_t HolderPool::received(const Line& line) const {
  return node_.traffic(line.peer).bulk.rx_payload.value();
}

void HolderPool::begin_window(Line& line) const {
  line.window_began = clock_.now();
  line.window_bytes = received(line);
}

std::optional<HolderEvent> HolderPool::find_stalled() {
  const TimePoint now = clock_.now();
  for (std::uint32_t i = 0; i < lines_.size(); ++i) {
    Line& line = lines_[i];
    if (holders_[i].state == Holder::State::gone || line.asked.empty()) continue;
    const double window_s = seconds(now - line.window_began);
    if (window_s < seconds(patience_)) continue;
    const std::uint64_t came = received(line) - line.window_bytes;
    if (static_cast<double>(came) >= window_s * static_cast<double>(least_bytes_per_s_)) {
      begin_window(line);
      continue;
    }
    const HolderIndex index(i);
    drop(index, Error(ErrorKind::unavailable,
                      fmt::format("{} has sent {} bytes in {:.0f} s, and owes {} answers",
                                  holders_[i].name, came, window_s, line.asked.size())));
    return HolderGone{index};
  }
  return std::nullopt;
}

Error HolderPool::exhausted() const {
  std::string reasons;
  bool busy = false;
  bool all_refused = true;
  const Error* last = nullptr;
  for (const Holder& holder : holders_) {
    if (!holder.failure) continue;
    reasons += fmt::format("{}{}", reasons.empty() ? "" : "; ", holder.failure->what());
    busy = busy || holder.failure->kind() == ErrorKind::try_again;
    all_refused = all_refused && holder.failure->kind() == ErrorKind::permission;
    last = &*holder.failure;
  }
  if (holders_.size() == 1 && last != nullptr) return *last;
  if (all_refused && last != nullptr) {
    return Error(ErrorKind::permission, "no holder is left: " + reasons, last->hint());
  }
  if (holders_.empty()) {
    return Error(ErrorKind::unavailable, "the relays of the ticket know of no holder of its run",
                 "start one where the checkpoint is: ptrain-ckpt serve --ticket");
  }
  return Error(busy ? ErrorKind::try_again : ErrorKind::unavailable,
               "no holder is left: " + reasons,
               "what has come is kept: the same command goes on from there");
}

}  // namespace ptrain::transfer
