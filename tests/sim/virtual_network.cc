#include "tests/sim/virtual_network.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "libcommon/base/error.h"
#include "libcommon/net/redial_pace.h"
#include "libcommon/wire/envelope.h"

namespace ptrain::sim {
namespace {

// As a ConnectionVigil finds that the other end acknowledges nothing any more.
constexpr Duration kLeastSilence = std::chrono::seconds(2);
constexpr Duration kMostSilence = std::chrono::seconds(3);
constexpr int kFramesPerRound = 64;

std::string key_of(const std::optional<net::KeyPair>& key) {
  return key ? net::to_hex(key->public_key()) : std::string();
}

}  // namespace

struct VirtualNetwork::Packet {
  std::vector<std::byte> header;
  wire::Buffer payload;
};

struct VirtualNetwork::Connection {
  enum class Stage { asked, reached, open, refused, barred };
  // What one end sees, and what is on its way to it.
  struct Side {
    std::string address;
    std::function<void()> wake;  // none: it has hung up
    std::deque<Packet> arrived{};
    std::deque<Packet> held{};  // while the two are apart
    bool over = false;          // nothing more arrives
    TimePoint line_free{};
    TimePoint last_arrival{};
    std::uint64_t swallowed = 0;
  };

  std::uint64_t number;
  net::Endpoint to;
  std::optional<net::KeyPair> key;  // of who dials
  Duration delay;
  std::uint64_t bytes_per_s;
  Duration jitter;
  Stage stage = Stage::asked;
  bool cut = false;
  std::array<Side, 2> sides{};

  void wake(std::size_t side) {
    if (sides[side].wake) sides[side].wake();
  }
};

class VirtualNetwork::End final {
 public:
  End(VirtualNetwork& network, std::shared_ptr<Connection> connection, std::size_t side)
      : network_(network), connection_(std::move(connection)), side_(side) {}
  ~End() {
    here().wake = nullptr;
    network_.end(connection_, 1 - side_,
                 std::max(network_.time_.now(), there().last_arrival) + connection_->delay);
  }
  End(const End&) = delete;
  End& operator=(const End&) = delete;

  Connection& connection() { return *connection_; }
  Connection::Side& here() { return connection_->sides[side_]; }
  Connection::Side& there() { return connection_->sides[1 - side_]; }

  std::optional<net::FrameBytes> send(const wire::Frame& frame, std::uint64_t ordinal) {
    if (here().over) return std::nullopt;
    const auto* data = std::get_if<wire::Data>(&frame);
    Packet packet{{}, data == nullptr ? wire::Buffer() : data->payload};
    const bool lost =
        network_.swallowed_ && network_.defect_of_ == here().address && network_.swallowed_(frame);
    if (lost) ++here().swallowed;
    packet.header = wire::encode_header(frame, ordinal - here().swallowed + (lost ? 1 : 0));
    const net::FrameBytes bytes{.payload = packet.payload.size(), .overhead = packet.header.size()};
    if (!lost) network_.send(connection_, side_, std::move(packet));
    return bytes;
  }

  // What has come and was not read; nullopt where nothing has.
  std::optional<net::Arrival> receive() {
    if (here().arrived.empty()) return std::nullopt;
    Packet packet = std::move(here().arrived.front());
    here().arrived.pop_front();
    const net::FrameBytes bytes{.payload = packet.payload.size(), .overhead = packet.header.size()};
    auto decoded = wire::decode_frame(packet.header, std::move(packet.payload));
    if (const auto* malformed = std::get_if<wire::Malformed>(&decoded)) {
      throw Error(ErrorKind::internal, "a frame of our own: " + malformed->why);
    }
    auto& numbered = std::get<wire::NumberedFrame>(decoded);
    return net::Arrival{
        .frame = std::move(numbered.frame), .bytes = bytes, .ordinal = numbered.ordinal};
  }
  bool something_waits() { return !here().arrived.empty(); }
  bool over() { return here().over && here().arrived.empty(); }

 private:
  VirtualNetwork& network_;
  std::shared_ptr<Connection> connection_;
  std::size_t side_;
};

namespace {

class VirtualPath final : public net::Path {
 public:
  VirtualPath(VirtualNetwork::End& end, net::LinkId id, std::string name, net::Route route,
              const wire::LinkIntroduction& introduction)
      : Path(id, std::move(name), route, introduction), end_(end) {}
  std::optional<net::FrameBytes> send(const wire::Frame& frame, std::uint64_t ordinal) override {
    return end_.send(frame, ordinal);
  }

 private:
  VirtualNetwork::End& end_;
};

}  // namespace

// ---- Who connects.

class VirtualNetwork::Dialer final : public net::PathSource {
 public:
  Dialer(VirtualNetwork& network, VirtualLoop& loop, std::string address,
         net::DialerOptions options)
      : network_(network),
        loop_(loop),
        fd_(loop.open_descriptor()),
        address_(std::move(address)),
        options_(std::move(options)) {}

  void add_poll_items(std::vector<net::PollItem>& items) override { items.push_back({.fd = fd_}); }
  TimePoint next_tick() const override {
    if (!end_) return pace_.retry_at();
    return path_ ? TimePoint::max() : pace_.ends_at();
  }
  void close(net::LinkId id, TimePoint now) override {
    if (path_ && path_->id() == id) hang_up(now);
  }
  void process(net::PathSink& sink, TimePoint now) override {
    loop_.set_readable(fd_, false);
    if (!end_) {
      if (now >= pace_.retry_at()) dial(now);
    } else if (!path_) {
      follow_attempt(sink, now);
    }
    if (path_) take_frames(sink, now);
  }

 private:
  using Stage = Connection::Stage;

  void dial(TimePoint now) {
    pace_.begin(now);
    answered_ = false;
    end_.emplace(network_, network_.dial(address_, options_), 0);
    end_->here().wake = [this] { loop_.set_readable(fd_, true); };
  }

  void hang_up(TimePoint now) {
    path_.reset();
    end_.reset();
    pace_.ended(now);
  }

  void fail(net::PathSink& sink, TimePoint now, ErrorKind kind, const char* why, bool permanent) {
    hang_up(now);
    sink.attempt_failed(options_.peer, Error(kind, why), permanent);
  }

  void follow_attempt(net::PathSink& sink, TimePoint now) {
    const Stage stage = end_->connection().stage;
    if (stage == Stage::refused) {
      return fail(sink, now, ErrorKind::unavailable, "connection refused", false);
    }
    if (stage == Stage::barred) {
      return fail(sink, now, ErrorKind::permission, "it does not admit our key", true);
    }
    if (stage >= Stage::reached && !std::exchange(answered_, true)) {
      pace_.answered(now);
      sink.host_answered(options_.peer);
    }
    if (stage == Stage::open) {
      wire::LinkIntroduction introduction = options_.link;
      introduction.number += connections_++;
      path_.emplace(*end_, sink.next_path_id(),
                    options_.name.empty() ? zmq_address(options_.endpoint) : options_.name,
                    options_.route, introduction);
      return sink.path_opened(*path_, options_.peer);
    }
    if (now >= pace_.ends_at()) fail(sink, now, ErrorKind::unavailable, "no answer", false);
  }

  void take_frames(net::PathSink& sink, TimePoint now) {
    for (int i = 0; path_ && i < kFramesPerRound; ++i) {
      auto arrival = end_->receive();
      if (!arrival) break;
      pace_.worked();
      sink.arrived(path_->id(), std::move(*arrival));
    }
    if (!path_) return;
    if (end_->something_waits()) loop_.set_readable(fd_, true);
    if (!end_->over()) return;
    const net::LinkId id = path_->id();
    hang_up(now);
    sink.path_lost(id);
  }

  VirtualNetwork& network_;
  VirtualLoop& loop_;
  int fd_;
  std::string address_;
  net::DialerOptions options_;
  std::uint64_t connections_ = 0;
  net::RedialPace pace_;
  std::optional<End> end_;
  std::optional<VirtualPath> path_;
  bool answered_ = false;
};

// ---- Who waits.

class VirtualNetwork::Listener final : public net::PathSource {
 public:
  Listener(VirtualNetwork& network, VirtualLoop& loop, net::ListenerOptions options,
           net::Admission& admission)
      : network_(network),
        loop_(loop),
        fd_(loop.open_descriptor()),
        options_(std::move(options)),
        admission_(admission) {
    if (!network_.listeners_.emplace(zmq_address(options_.endpoint), this).second) {
      throw Error(ErrorKind::io, "listen on " + zmq_address(options_.endpoint) + ": another does");
    }
  }
  ~Listener() override { network_.listeners_.erase(zmq_address(options_.endpoint)); }

  // Whether keys are as both sides say.
  bool admits(const Connection& connection) const {
    if (!options_.key) return !connection.to.key;
    return connection.to.key == options_.key->public_key() && connection.key &&
           admission_.admits(connection.key->public_key());
  }
  void accept(std::shared_ptr<Connection> connection) {
    Accepted& accepted =
        *accepted_.emplace_back(std::make_unique<Accepted>(network_, std::move(connection)));
    accepted.end.here().wake = [this] { loop_.set_readable(fd_, true); };
  }

  void add_poll_items(std::vector<net::PollItem>& items) override { items.push_back({.fd = fd_}); }
  TimePoint next_tick() const override { return TimePoint::max(); }
  void close(net::LinkId id, TimePoint) override {
    std::erase_if(accepted_,
                  [&](const auto& each) { return each->path && each->path->id() == id; });
  }
  void process(net::PathSink& sink, TimePoint) override {
    loop_.set_readable(fd_, false);
    for (std::size_t i = 0; i < accepted_.size(); ++i) take_frames(sink, *accepted_[i]);
    for (std::size_t i = accepted_.size(); i-- > 0;) {
      if (accepted_[i]->end.something_waits()) loop_.set_readable(fd_, true);
      if (!accepted_[i]->end.over() && !accepted_[i]->turned_away) continue;
      const std::unique_ptr<Accepted> lost = std::move(accepted_[i]);
      accepted_.erase(accepted_.begin() + static_cast<std::ptrdiff_t>(i));
      if (lost->path) sink.path_lost(lost->path->id());
    }
  }

 private:
  struct Accepted {
    Accepted(VirtualNetwork& network, std::shared_ptr<Connection> connection)
        : end(network, std::move(connection), 1) {}
    End end;
    std::optional<VirtualPath> path{};
    bool turned_away = false;
  };

  void take_frames(net::PathSink& sink, Accepted& from) {
    for (int i = 0; !from.turned_away && i < kFramesPerRound; ++i) {
      auto arrival = from.end.receive();
      if (!arrival) return;
      if (!from.path) introduce(sink, from, *arrival);
      if (from.path) sink.arrived(from.path->id(), std::move(*arrival));
    }
  }

  void introduce(net::PathSink& sink, Accepted& from, const net::Arrival& arrival) {
    const auto* hello = std::get_if<wire::Hello>(&arrival.frame);
    if (hello == nullptr) throw Error(ErrorKind::internal, "a connection without a hello");
    const std::string& address = from.end.there().address;
    const net::Verdict verdict = admission_.judge(
        {.hello = *hello, .key = key_of(from.end.connection().key), .address = address});
    if (const auto* refusal = std::get_if<net::Rejection>(&verdict)) {
      if (refusal->answer) from.end.send(*refusal->answer, 1);
      from.turned_away = true;
      return sink.refused(address + ": " + refusal->why);
    }
    from.path.emplace(from.end, sink.next_path_id(),
                      options_.name.empty() ? address : options_.name, options_.route, hello->link);
    sink.path_opened(*from.path, std::get<net::PeerHandle>(verdict));
  }

  VirtualNetwork& network_;
  VirtualLoop& loop_;
  int fd_;
  net::ListenerOptions options_;
  net::Admission& admission_;
  std::vector<std::unique_ptr<Accepted>> accepted_;
};

// ---- What a process has of it.

class VirtualNetwork::HostTransport final : public net::Transport {
 public:
  HostTransport(VirtualNetwork& network, VirtualLoop& loop, std::string address)
      : network_(network), loop_(loop), address_(std::move(address)) {}

  void admit(net::Admission& admission, std::function<void(const std::string&)>) override {
    admission_ = &admission;
  }
  Listening listen(const net::ListenerOptions& options) override {
    net::ListenerOptions bound = options;
    if (bound.endpoint.port == 0) bound.endpoint.port = ++network_.ports_;
    bound.endpoint.key.reset();
    net::Endpoint dialled = bound.endpoint;
    if (bound.key) dialled.key = bound.key->public_key();
    return {.source = std::make_unique<Listener>(network_, loop_, std::move(bound), *admission_),
            .bound = dialled};
  }
  std::unique_ptr<net::PathSource> dial(net::DialerOptions options) override {
    return std::make_unique<Dialer>(network_, loop_, address_, std::move(options));
  }
  std::unique_ptr<net::ControlLink> ask_relay(net::ControlLinkOptions) override {
    throw Error(ErrorKind::internal, "there are no relays in this network");
  }

 private:
  VirtualNetwork& network_;
  VirtualLoop& loop_;
  std::string address_;
  net::Admission* admission_ = nullptr;
};

// ---- The network.

VirtualNetwork::~VirtualNetwork() = default;

std::unique_ptr<net::Transport> VirtualNetwork::transport(VirtualLoop& loop, std::string address) {
  return std::make_unique<HostTransport>(*this, loop, std::move(address));
}

Duration VirtualNetwork::between(Duration least, Duration most) {
  return Duration(
      std::uniform_int_distribution<std::int64_t>(least.count(), most.count())(random_));
}

bool VirtualNetwork::apart(const Connection& connection) const {
  return std::ranges::any_of(connection.sides, [&](const Connection::Side& side) {
    const auto found = parted_.find(side.address);
    return found != parted_.end() && time_.now() < found->second;
  });
}

void VirtualNetwork::plant(std::string address, std::function<bool(const wire::Frame&)> swallowed) {
  defect_of_ = std::move(address);
  swallowed_ = std::move(swallowed);
}

std::shared_ptr<VirtualNetwork::Connection> VirtualNetwork::dial(
    const std::string& from, const net::DialerOptions& options) {
  auto connection = std::make_shared<Connection>(
      Connection{.number = ++numbers_,
                 .to = options.endpoint,
                 .key = options.endpoint.key ? options.key : std::nullopt,
                 .delay = between(weather_.least_delay, weather_.most_delay),
                 .bytes_per_s = weather_.bytes_per_s,
                 .jitter = weather_.jitter});
  connection->sides[0].address = from;
  connection->sides[1].address = options.endpoint.host;
  connections_[connection->number] = connection;
  time_.after(2 * connection->delay, [this, connection] { meet(connection); });
  return connection;
}

// A SYN and its answer.
void VirtualNetwork::meet(const std::shared_ptr<Connection>& connection) {
  if (!connection->sides[0].wake || apart(*connection)) return;
  const bool there = listeners_.contains(zmq_address(connection->to));
  connection->stage = !there || chance() < weather_.refused ? Connection::Stage::refused
                                                            : Connection::Stage::reached;
  connection->wake(0);
  if (connection->stage != Connection::Stage::reached) return;
  time_.after(2 * connection->delay, [this, connection] { open(connection); });
}

// A handshake.
void VirtualNetwork::open(const std::shared_ptr<Connection>& connection) {
  if (!connection->sides[0].wake || apart(*connection)) return;
  const auto listener = listeners_.find(zmq_address(connection->to));
  const bool there = listener != listeners_.end();
  connection->stage = !there                                  ? Connection::Stage::refused
                      : listener->second->admits(*connection) ? Connection::Stage::open
                                                              : Connection::Stage::barred;
  if (connection->stage == Connection::Stage::open) {
    ++opened_;
    listener->second->accept(connection);
    if (weather_.mean_life != Duration::max()) {
      const double life_s =
          std::exponential_distribution<>(1 / seconds(weather_.mean_life))(random_);
      const bool silently = chance() < weather_.silent;
      time_.after(std::chrono::duration_cast<Duration>(std::chrono::duration<double>(life_s)),
                  [this, connection, silently] { cut(connection, silently); });
    }
  }
  connection->wake(0);
}

void VirtualNetwork::send(const std::shared_ptr<Connection>& connection, std::size_t from,
                          Packet packet) {
  Connection::Side& to = connection->sides[1 - from];
  const std::uint64_t bytes = packet.header.size() + packet.payload.size();
  const auto on_the_line = Duration(bytes * 1'000'000'000 / connection->bytes_per_s);
  to.line_free = std::max(time_.now(), to.line_free) + on_the_line;
  to.last_arrival = std::max(to.last_arrival, to.line_free + connection->delay +
                                                  between(Duration::zero(), connection->jitter));
  time_.at(to.last_arrival, [this, connection, from, packet = std::move(packet)]() mutable {
    arrive(connection, 1 - from, std::move(packet));
  });
}

void VirtualNetwork::arrive(const std::shared_ptr<Connection>& connection, std::size_t to,
                            Packet packet) {
  Connection::Side& side = connection->sides[to];
  if (connection->cut || !side.wake) return;
  if (apart(*connection) || !side.held.empty()) {
    side.held.push_back(std::move(packet));
    return;
  }
  ++carried_;
  mark(connection->number, to, packet);
  side.arrived.push_back(std::move(packet));
  side.wake();
}

void VirtualNetwork::cut(const std::shared_ptr<Connection>& connection, bool silently) {
  if (std::exchange(connection->cut, true)) return;
  if (!connection->sides[0].wake || !connection->sides[1].wake) return;
  ++broken_;
  const std::size_t first = chance() < 0.5 ? 0 : 1;
  for (const std::size_t side : {first, 1 - first}) {
    Duration notice = side == first ? Duration::zero() : connection->delay;
    if (silently) notice = between(kLeastSilence, kMostSilence);
    end(connection, side, time_.now() + notice);
  }
}

void VirtualNetwork::end(const std::shared_ptr<Connection>& connection, std::size_t side,
                         TimePoint when) {
  time_.at(when, [connection, side] {
    connection->sides[side].over = true;
    connection->wake(side);
  });
}

void VirtualNetwork::part(const std::string& address, Duration length) {
  const TimePoint until = time_.now() + length;
  parted_[address] = std::max(parted_[address], until);
  std::erase_if(connections_, [](const auto& entry) { return entry.second.expired(); });
  for (const auto& [number, weak] : connections_) {
    const auto connection = weak.lock();
    if (connection->sides[0].address != address && connection->sides[1].address != address) {
      continue;
    }
    const Duration patience = between(kLeastSilence, kMostSilence);
    if (patience < length) {
      time_.after(patience, [this, connection] { cut(connection, false); });
      continue;
    }
    time_.at(until, [this, connection] {
      if (apart(*connection)) return;  // parted anew, which has its own end
      for (std::size_t side = 0; side < 2; ++side) {
        for (Packet& packet : std::exchange(connection->sides[side].held, {})) {
          arrive(connection, side, std::move(packet));
        }
      }
    });
  }
}

void VirtualNetwork::mark(std::uint64_t number, std::size_t side, const Packet& packet) {
  constexpr std::uint64_t kPrime = 0x100000001b3;
  const auto fold = [this](std::uint64_t value) { digest_ = (digest_ ^ value) * kPrime; };
  fold(static_cast<std::uint64_t>(time_.passed().count()));
  fold(2 * number + side);
  fold(packet.payload.size());
  for (const std::byte byte : packet.header) fold(static_cast<std::uint64_t>(byte));
}

}  // namespace ptrain::sim
