#include "libcommon/net/punched_source.h"

#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "libcommon/base/base32.h"
#include "libcommon/base/error.h"

namespace ptrain::net {
namespace {

// Pings come once a second: of what has brought nothing for so long, the other side may know
// already that it is gone.
constexpr Duration kFresh = std::chrono::milliseconds(2500);

}  // namespace

PunchedSource::PunchedSource(Transport& transport, Punching& punching, PunchedSourceOptions options,
                             RandomSource& random)
    : transport_(transport), punching_(punching), options_(std::move(options)), random_(random) {
  punching_.open_line(options_.line);
}

PunchedSource::~PunchedSource() { punching_.close_line(options_.line); }

void PunchedSource::begin(const std::vector<PunchTarget>& targets, TimePoint at, TimePoint now) {
  if (!fresh(now)) punching_.begin(options_.line, targets, at);
}

bool PunchedSource::fresh(TimePoint now) const { return open_ && now < last_arrival_ + kFresh; }

void PunchedSource::add_poll_items(std::vector<PollItem>& items) {
  if (tunnel_) items.push_back({.fd = tunnel_->changed_fd()});
  if (inner_) inner_->add_poll_items(items);
}

TimePoint PunchedSource::next_tick() const {
  return inner_ ? inner_->next_tick() : TimePoint::max();
}

// ---- One connection: a tunnel, and a socket at its near end.

void PunchedSource::process(PathSink& sink, TimePoint now) {
  outer_ = &sink;
  now_ = now;
  if (auto connection = punching_.take(options_.line)) {
    // Who dials has chosen this one: of the one before it knows more than we do.
    if (tunnel_) hang_up(true);
    open(std::move(*connection));
  }
  if (inner_) inner_->process(*this, now);
  if (finished_) hang_up(true);
  if (tunnel_) follow_tunnel(now);
  outer_ = nullptr;
}

// What cannot be had (a descriptor, a thread, a socket) fails this attempt, and nothing else.
void PunchedSource::open(PunchedConnection connection) {
  const bool dials = options_.line.we_dial;
  const auto holes = punching_.holes();
  const std::size_t hole = options_.line.hole;
  name_ = fmt::format("tcp://0.0.0.0:{};{}:{}", hole < holes.size() ? holes[hole].port : 0,
                      connection.from.host, connection.from.port);
  they_came_ = connection.they_came;
  local_name_ = "ptrain-" + to_base32(random_.bytes<kLocalNameBytes>());
  carried_ = std::make_shared<CarriedBytes>();
  punching_.want(options_.line, false);
  const auto failed = [&](const char* why) {
    report_failure(why, ErrorKind::try_again);
    hang_up(true);
  };
  try {
    if (!dials) make_inner();
    tunnel_ = std::make_unique<PunchTunnel>(std::move(connection.socket),
                                            dials ? LocalEnd::listens : LocalEnd::dials,
                                            local_name_, carried_);
  } catch (const Error& error) {
    failed(error.what());
  } catch (const std::system_error& error) {
    failed(error.what());
  }
}

void PunchedSource::make_inner() {
  Endpoint near;
  near.kind = EndpointKind::ipc;
  near.path = "@" + local_name_;
  const Route route{.kind = RouteKind::punched};
  if (!options_.line.we_dial) {
    inner_ = transport_
                 .listen({.endpoint = near,
                          .route = route,
                          .name = name_,
                          .key = options_.key,
                          .carried = carried_})
                 .source;
    return;
  }
  near.key = options_.line.theirs;
  ++options_.link.number;
  inner_ = transport_.dial({.peer = *options_.peer,
                            .link = options_.link,
                            .endpoint = near,
                            .route = route,
                            .name = name_,
                            .key = options_.key,
                            .carried = carried_});
}

void PunchedSource::follow_tunnel(TimePoint now) {
  switch (tunnel_->state()) {
    case PunchTunnel::State::waiting:
      return;
    case PunchTunnel::State::joined:
      if (!inner_) {
        make_inner();
        inner_->process(*this, now);
      }
      return;
    case PunchTunnel::State::ended:
      if (const std::string why = tunnel_->why(); !why.empty()) {
        report_failure(why, ErrorKind::unavailable);
      }
      hang_up(true);
      return;
  }
}

void PunchedSource::hang_up(bool tell) {
  if (open_ && tell) outer_->path_lost(*open_);
  open_.reset();
  inner_.reset();
  tunnel_.reset();
  finished_ = false;
  lost_ = true;
  punching_.want(options_.line, true);
}

void PunchedSource::report_failure(const std::string& why, ErrorKind kind) const {
  if (options_.peer) outer_->attempt_failed(*options_.peer, Error(kind, why), false);
}

void PunchedSource::close(LinkId id, TimePoint) {
  if (open_ == id) hang_up(false);
}

// ---- What the inner source reports.

void PunchedSource::path_opened(Path& path, PeerHandle peer) {
  // The greeting says that it is a member who knows the peer's key; CURVE says who it is.
  if (options_.peer && peer != *options_.peer) {
    return outer_->refused(path.name() + ": another peer's connection came in place of this");
  }
  open_ = path.id();
  last_arrival_ = now_;
  outer_->path_opened(path, peer);
}

void PunchedSource::path_lost(LinkId id) {
  if (open_ != id) return;
  open_.reset();
  outer_->path_lost(id);
  finished_ = true;  // a tunnel carries one connection only
}

void PunchedSource::arrived(LinkId id, Arrival arrival) {
  if (open_ != id) return;
  last_arrival_ = now_;
  outer_->arrived(id, std::move(arrival));
}

void PunchedSource::attempt_failed(PeerHandle peer, const Error& why, bool permanent) {
  outer_->attempt_failed(peer, Error(why.kind(), name_ + ": " + why.what(), why.hint()), permanent);
}

}  // namespace ptrain::net
