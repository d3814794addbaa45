#include "libcommon/net/relayed_source.h"

#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "libcommon/base/base32.h"
#include "libcommon/base/error.h"
#include "libcommon/os/descriptor_limit.h"

namespace ptrain::net {
namespace {

// Both ends of it, pipes and events between them, and what libzmq takes for its near end.
constexpr std::size_t kDescriptorsOfTunnel = 13;

}  // namespace

RelayedSource::RelayedSource(Transport& transport, RelayedSourceOptions options,
                             RandomSource& random)
    : transport_(transport), options_(std::move(options)), random_(random) {}

RelayedSource::~RelayedSource() = default;

bool RelayedSource::take_need() {
  if (tunnel_ || token_) return false;
  return std::exchange(needs_token_, false);
}

void RelayedSource::add_poll_items(std::vector<PollItem>& items) {
  if (tunnel_) items.push_back({.fd = tunnel_->changed_fd()});
  if (inner_) inner_->add_poll_items(items);
}

TimePoint RelayedSource::next_tick() const {
  if (!tunnel_) return token_ || needs_token_ ? pace_.retry_at() : TimePoint::max();
  return inner_ ? inner_->next_tick() : TimePoint::max();
}

// ---- One connection: token, tunnel, and a socket at its near end.

void RelayedSource::report_failure(PathSink& sink, const std::string& why, ErrorKind kind) const {
  if (options_.peer) sink.attempt_failed(*options_.peer, Error(kind, why), false);
}

// What cannot be had (a descriptor, a thread, a socket) fails this attempt, and nothing else.
void RelayedSource::try_tunnel(TimePoint now) {
  const auto failed = [&](const char* why) {
    report_failure(*outer_, why, ErrorKind::try_again);
    inner_.reset();
    if (!token_) token_ = token_in_use_;
    pace_.ended(now);
  };
  if (os::descriptors_left() <= os::kReservedDescriptors + kDescriptorsOfTunnel) {
    pace_.begin(now);
    report_failure(*outer_, "no tunnel: too few descriptors are left", ErrorKind::try_again);
    return pace_.ended(now);
  }
  try {
    open_tunnel(now);
  } catch (const Error& error) {
    failed(error.what());
  } catch (const std::system_error& error) {
    failed(error.what());
  }
}

void RelayedSource::open_tunnel(TimePoint now) {
  const bool dials = options_.side == RelayedSourceOptions::Side::dials;
  local_name_ = "ptrain-" + to_base32(random_.bytes<kLocalNameBytes>());
  carried_ = std::make_shared<CarriedBytes>();
  pace_.begin(now);
  token_in_use_ = *std::exchange(token_, std::nullopt);
  if (!dials) make_inner();
  tunnel_ = std::make_unique<SocksTunnel>(
      SocksTunnelOptions{.relay_host = options_.relay_host,
                         .relay_port = options_.relay_port,
                         .token = token_in_use_,
                         .known_address = relay_address_,
                         .hearsay = options_.hearsay,
                         .local_end = dials ? LocalEnd::listens : LocalEnd::dials,
                         .local_name = local_name_,
                         .carried = carried_});
}

void RelayedSource::make_inner() {
  Endpoint near;
  near.kind = EndpointKind::ipc;
  near.path = "@" + local_name_;
  const Route route{.kind = RouteKind::relayed, .number = options_.relay_number};
  const std::string name = fmt::format("socks5://{}:{}", options_.relay_host, options_.relay_port);
  if (options_.side == RelayedSourceOptions::Side::listens) {
    inner_ = transport_
                 .listen({.endpoint = near,
                          .route = route,
                          .name = name,
                          .key = options_.key,
                          .carried = carried_})
                 .source;
    return;
  }
  near.key = options_.peer_key;
  ++options_.link.number;
  inner_ = transport_.dial({.peer = *options_.peer,
                            .link = options_.link,
                            .endpoint = near,
                            .route = route,
                            .name = name,
                            .key = options_.key,
                            .carried = carried_});
}

void RelayedSource::process(PathSink& sink, TimePoint now) {
  outer_ = &sink;
  if (!tunnel_ && token_ && now >= pace_.retry_at()) try_tunnel(now);
  if (inner_) inner_->process(*this, now);
  if (finished_) hang_up(&sink, now);
  if (tunnel_) follow_tunnel(sink, now);
  outer_ = nullptr;
}

void RelayedSource::follow_tunnel(PathSink& sink, TimePoint now) {
  switch (tunnel_->state()) {
    case SocksTunnel::State::waiting:
      return;
    case SocksTunnel::State::joined:
      if (!inner_) {
        make_inner();
        inner_->process(*this, now);
      }
      return;
    case SocksTunnel::State::refused:
    case SocksTunnel::State::failed:
      report_failure(sink, tunnel_->why(), ErrorKind::unavailable);
      break;
    case SocksTunnel::State::ended:
      break;
  }
  hang_up(&sink, now);
}

void RelayedSource::hang_up(PathSink* sink, TimePoint now) {
  if (open_ && sink != nullptr) sink->path_lost(*open_);
  open_.reset();
  inner_.reset();
  if (tunnel_) keep_what_is_of_use();
  tunnel_.reset();
  finished_ = false;
  pace_.ended(now);
  needs_token_ = true;
}

// While the relay is out of reach it cannot send another token, and that one is as good as new.
void RelayedSource::keep_what_is_of_use() {
  relay_address_ = tunnel_->relay_address();
  if (!tunnel_->presented() && !token_) token_ = token_in_use_;
}

void RelayedSource::close(LinkId id, TimePoint now) {
  if (open_ == id) hang_up(nullptr, now);
}

// ---- What the inner source reports.

void RelayedSource::path_opened(Path& path, PeerHandle peer) {
  // The relay joined us with the bearer of the other token, and CURVE says who that is.
  if (options_.peer && peer != *options_.peer) {
    return outer_->refused(path.name() + ": another peer's connection came in place of this");
  }
  open_ = path.id();
  outer_->path_opened(path, peer);
}

void RelayedSource::path_lost(LinkId id) {
  if (open_ != id) return;
  open_.reset();
  outer_->path_lost(id);
  finished_ = true;  // a tunnel carries one connection only
}

void RelayedSource::arrived(LinkId id, Arrival arrival) {
  if (open_ != id) return;
  pace_.worked();
  outer_->arrived(id, std::move(arrival));
}

void RelayedSource::attempt_failed(PeerHandle peer, const Error& why, bool permanent) {
  const std::string text = fmt::format("through {}: {}", options_.relay_host, why.what());
  outer_->attempt_failed(peer, Error(why.kind(), text, why.hint()), permanent);
}

}  // namespace ptrain::net
