#include "libcommon/net/zmq/dialer.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "libcommon/net/address_reach.h"
#include "libcommon/net/zmq/zmq_parts.h"
#include "libcommon/os/descriptor_limit.h"
#include "libcommon/os/tcp_tuning.h"

namespace ptrain::net {
namespace {

constexpr std::size_t kMaxParts = 2;  // header, payload
constexpr int kFramesPerRound = 64;   // then the other sockets have their turn

Error unavailable(const char* why) { return Error(ErrorKind::unavailable, why); }

// The other side has shown its key before it refuses ours.
Error refused_key(const DialerOptions& options) {
  const auto& own = options.key;
  const auto& theirs = options.endpoint.key;
  return Error(
      ErrorKind::permission,
      fmt::format("it does not admit our key {}; its own is {}",
                  own ? to_hex(own->public_key()) : "(none)", theirs ? to_hex(*theirs) : "(none)"),
      options.when_refused);
}

Error failed_handshake(const DialerOptions& options) {
  const auto& key = options.endpoint.key;
  return Error(
      ErrorKind::permission,
      key ? fmt::format("the handshake failed: is {}, the key after #, its key?", to_hex(*key))
          : "the handshake failed: does its endpoint end in #KEY?");
}

}  // namespace

class Dialer::DialedPath final : public Path {
 public:
  // `address` stands for the endpoint's host.
  DialedPath(zmq::context_t& context, const DialerOptions& options, const std::string& address,
             const wire::LinkIntroduction& introduction, LinkId id)
      : Path(id, options.name.empty() ? zmq_address(options.endpoint) : options.name, options.route,
             introduction),
        dealer(context, zmq::socket_type::dealer),
        monitor(context, dealer),
        guard({}, options.carried) {
    configure(dealer, address);
    connect_once(dealer, options.endpoint, address, options.key);
  }

  std::optional<FrameBytes> send(const wire::Frame& frame, std::uint64_t ordinal) override {
    return send_frame(dealer, nullptr, frame, ordinal);
  }

  zmq::socket_t dealer;
  SocketMonitor monitor;
  ConnectionGuard guard;
  int socket = -1;  // libzmq's
};

Dialer::Dialer(zmq::context_t& context, DialerOptions options)
    : context_(context),
      options_(std::move(options)),
      pace_(options_.hearsay ? kStrangersPauses : RetryPauses{}),
      host_(options_.endpoint.host) {}

Dialer::~Dialer() = default;

void Dialer::add_poll_items(std::vector<PollItem>& items) {
  if (!path_) return;
  items.push_back(poll_item(path_->dealer));
  items.push_back(poll_item(path_->monitor.events()));
  path_->guard.add_poll_items(items);
}

TimePoint Dialer::next_tick() const {
  if (!path_) return std::max(pace_.retry_at(), look_up_again_);
  return std::min(path_->guard.next_tick(), opened_ ? vigil_.next_look() : pace_.ends_at());
}

void Dialer::dial(PathSink& sink, TimePoint now) {
  const auto address = host_.address(now);
  if (!address) {
    look_up_again_ = now + (host_.unknown() ? kLookupPause : kLookupPoll);
    return;
  }
  // What its name stands for now, not when it was published.
  if (options_.hearsay && !may_be_dialled(*address)) {
    pace_.wait_longest();
    pace_.begin(now);
    return pace_.ended(now);
  }
  if (os::descriptors_left() <= os::kReservedDescriptors) {
    pace_.begin(now);
    sink.attempt_failed(options_.peer,
                        Error(ErrorKind::try_again, "no socket: too few descriptors are left"),
                        false);
    return pace_.ended(now);
  }
  wire::LinkIntroduction introduction = options_.link;
  introduction.number += connections_++;
  opened_ = false;
  pace_.begin(now);
  try {
    path_ = std::make_unique<DialedPath>(context_, options_, *address, introduction,
                                         sink.next_path_id());
  } catch (const zmq::error_t& error) {
    // No descriptor, or no place in the context: of all that there is, this attempt alone fails.
    sink.attempt_failed(options_.peer,
                        Error(ErrorKind::try_again, fmt::format("no socket: {}", error.what())),
                        false);
    pace_.ended(now);
  }
}

void Dialer::hang_up(TimePoint now) {
  if (!opened_) host_.doubt(now);
  path_.reset();
  opened_ = false;
  vigil_.end();
  pace_.ended(now);
}

void Dialer::lose(PathSink& sink, TimePoint now) {
  const bool was_open = opened_;
  const LinkId id = path_->id();
  hang_up(now);
  if (was_open) sink.path_lost(id);
}

void Dialer::process(PathSink& sink, TimePoint now) {
  if (!path_) {
    if (now < next_tick()) return;
    dial(sink, now);
    if (!path_ && host_.unknown()) {
      sink.attempt_failed(options_.peer, unavailable("its name has no address"), false);
    }
    if (!path_) return;
  }
  if (!take_events(sink, now)) return;
  if (opened_) take_frames(sink, kFramesPerRound);
  for (const std::string& cut : path_->guard.look(now)) {
    sink.refused(options_.name.empty() ? cut : fmt::format("{}: {}", options_.name, cut));
  }
  if (opened_) {
    if (vigil_.silent(now)) lose(sink, now);
    return;
  }
  if (now >= pace_.ends_at()) {
    sink.attempt_failed(options_.peer, unavailable("no answer"), false);
    hang_up(now);
  }
}

bool Dialer::take_events(PathSink& sink, TimePoint now) {
  while (auto event = path_->monitor.next()) {
    switch (event->kind) {
      case SocketMonitor::Kind::accepted:  // nobody can: it listens nowhere
        continue;
      case SocketMonitor::Kind::reached:
        pace_.answered(now);
        path_->socket = event->socket;
        os::tune_tcp(event->socket);
        path_->guard.opened(event->socket, now);
        vigil_.begin(event->socket, now);
        sink.host_answered(options_.peer);
        continue;
      case SocketMonitor::Kind::connected:
        opened_ = true;
        path_->guard.introduced(path_->socket);  // by its key
        sink.path_opened(*path_, options_.peer);
        continue;
      case SocketMonitor::Kind::refused:
        sink.attempt_failed(options_.peer, refused_key(options_), true);
        break;
      case SocketMonitor::Kind::garbled:
        sink.attempt_failed(options_.peer, failed_handshake(options_), false);
        break;
      case SocketMonitor::Kind::closed:
        if (!opened_) {
          sink.attempt_failed(options_.peer, unavailable("connection refused"), false);
        }
        break;
    }
    // What the peer said before it hung up still counts; the queue is bounded.
    if (opened_) take_frames(sink, kReceiveQueueParts);
    lose(sink, now);
    return false;
  }
  return true;
}

void Dialer::take_frames(PathSink& sink, int limit) {
  for (int i = 0; i < limit; ++i) {
    auto message = receive_parts(path_->dealer, kMaxParts);
    if (!message) return path_->guard.nothing_waits();
    path_->guard.took(path_->socket,
                      options_.endpoint.key ? message->curve_bytes : message->plain_bytes);
    std::variant<Arrival, wire::Malformed> decoded = wire::Malformed{"more parts than a frame"};
    if (!message->too_many) decoded = read_frame(message->parts);
    if (const auto* malformed = std::get_if<wire::Malformed>(&decoded)) {
      sink.refused(fmt::format("{}: {}", path_->name(), malformed->why));
      continue;
    }
    sink.arrived(path_->id(), std::move(std::get<Arrival>(decoded)));
    pace_.worked();
  }
}

void Dialer::close(LinkId id, TimePoint now) {
  if (path_ && opened_ && path_->id() == id) hang_up(now);
}

}  // namespace ptrain::net
