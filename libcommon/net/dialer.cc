#include "libcommon/net/dialer.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "libcommon/net/zmq_parts.h"

namespace ptrain::net {
namespace {

constexpr std::size_t kMaxParts = 2;  // header, payload
constexpr int kFramesPerRound = 64;   // then the other sockets have their turn
// libzmq's own reconnection, put off until long after we have closed the socket. Switching it
// off (-1) would make libzmq 4.3.4 drop the pipe when the connection breaks, even between two
// parts that we are reading, and abort ("!_more", src/fq.cpp).
constexpr int kNeverMs = 24 * 3600 * 1000;

}  // namespace

class Dialer::DialedPath final : public Path {
 public:
  // `address` stands for the endpoint's host.
  DialedPath(zmq::context_t& context, const DialerOptions& options, const std::string& address)
      : dealer(context, zmq::socket_type::dealer),
        monitor(context, dealer),
        name_(zmq_address(options.endpoint)),
        route_(options.route) {
    configure(dealer, address);
    dealer.set(zmq::sockopt::reconnect_ivl, kNeverMs);
    if (options.endpoint.key && options.key) {
      dealer.set(zmq::sockopt::curve_serverkey,
                 zmq::const_buffer(options.endpoint.key->data(), 32));
      dealer.set(zmq::sockopt::curve_publickey,
                 zmq::const_buffer(options.key->public_key().data(), 32));
      dealer.set(zmq::sockopt::curve_secretkey,
                 zmq::const_buffer(options.key->secret_key().data(), 32));
    }
    Endpoint numeric = options.endpoint;
    numeric.host = address;
    dealer.connect(zmq_address(numeric));
  }

  PathId id() const override { return id_; }
  void set_id(PathId id) { id_ = id; }
  std::string name() const override { return name_; }
  Route route() const override { return route_; }
  std::optional<FrameBytes> send(const wire::Frame& frame, std::uint64_t ordinal) override {
    return send_frame(dealer, nullptr, frame, ordinal);
  }

  zmq::socket_t dealer;
  SocketMonitor monitor;

 private:
  std::string name_;
  Route route_;
  PathId id_;
};

Dialer::Dialer(zmq::context_t& context, DialerOptions options)
    : context_(context),
      options_(std::move(options)),
      pace_(options_.last_retry),
      host_(options_.endpoint.host) {}

Dialer::~Dialer() = default;

void Dialer::add_poll_items(std::vector<zmq_pollitem_t>& items) {
  if (!path_) return;
  items.push_back({path_->dealer.handle(), 0, ZMQ_POLLIN, 0});
  items.push_back({path_->monitor.events().handle(), 0, ZMQ_POLLIN, 0});
}

TimePoint Dialer::next_tick() const {
  if (!path_) return std::max(pace_.retry_at(), look_up_again_);
  return opened_ ? vigil_.next_look() : pace_.ends_at();
}

void Dialer::dial(TimePoint now) {
  const auto address = host_.address(now);
  if (!address) {
    look_up_again_ = now + (host_.unknown() ? kLookupPause : kLookupPoll);
    return;
  }
  path_ = std::make_unique<DialedPath>(context_, options_, *address);
  opened_ = false;
  pace_.begin(now);
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
  const PathId id = path_->id();
  hang_up(now);
  if (was_open) sink.path_lost(id);
}

void Dialer::process(PathSink& sink, TimePoint now) {
  if (!path_) {
    if (now < next_tick()) return;
    dial(now);
    if (!path_ && host_.unknown()) {
      sink.attempt_failed(options_.peer, "its name has no address", ErrorKind::unavailable, false);
    }
    if (!path_) return;
  }
  if (!take_events(sink, now)) return;
  if (opened_) {
    take_frames(sink, kFramesPerRound);
    if (vigil_.silent(now)) lose(sink, now);
    return;
  }
  if (now >= pace_.ends_at()) {
    sink.attempt_failed(options_.peer, "no answer", ErrorKind::unavailable, false);
    hang_up(now);
  }
}

bool Dialer::take_events(PathSink& sink, TimePoint now) {
  while (auto event = path_->monitor.next()) {
    switch (event->kind) {
      case SocketMonitor::Kind::reached:
        pace_.answered(now);
        vigil_.begin(event->socket, now);
        sink.host_answered(options_.peer);
        continue;
      case SocketMonitor::Kind::connected:
        opened_ = true;
        path_->set_id(sink.next_path_id());
        sink.path_opened(*path_, options_.peer, options_.channel);
        continue;
      case SocketMonitor::Kind::refused:
        sink.attempt_failed(options_.peer, "it does not admit our key", ErrorKind::permission,
                            true);
        break;
      case SocketMonitor::Kind::garbled:
        sink.attempt_failed(options_.peer, "the handshake failed: is the key after # its key?",
                            ErrorKind::permission, false);
        break;
      case SocketMonitor::Kind::closed:
        if (!opened_) {
          sink.attempt_failed(options_.peer, "connection refused", ErrorKind::unavailable, false);
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
    if (!message) return;
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

void Dialer::close(PathId id, TimePoint now) {
  if (path_ && opened_ && path_->id() == id) hang_up(now);
}

}  // namespace ptrain::net
