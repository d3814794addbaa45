#include "libcommon/net/session.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "libcommon/wire/envelope.h"

namespace ptrain::net {

using wire::Channel;

Session::Session(SessionOptions options, TimePoint now)
    : options_(std::move(options)),
      lanes_{make_lane(Channel::control), make_lane(Channel::bulk)},
      last_heard_(now),
      pathless_since_(now),
      ticked_(now) {}

Session::Lane Session::make_lane(Channel channel) const {
  return {
      .out = FrameSender(channel, options_.keep_limit.value()),
      .in = FrameReceiver(channel, options_.credit_window.value(), options_.message_limit.value()),
      .choice = RouteChoice(
          {.allowed = options_.allowed_kinds,
           .trial_time = options_.trial_time,
           .patience = {.shortest = options_.patience, .longest = options_.stall_timeout}})};
}

// ---- The application's side.

void Session::send(wire::Message message) {
  Lane& lane_of_kind = lane(wire::channel_of(message.name.kind));
  lane_of_kind.out.push(std::move(message));
}

std::optional<wire::Message> Session::receive() {
  for (const Channel channel : wire::kAllChannels) {
    if (auto message = lane(channel).in.take()) return message;
  }
  return std::nullopt;
}

void Session::consumed(Channel channel, std::uint64_t cost, TimePoint now) {
  FrameReceiver& in = lane(channel).in;
  in.consumed(cost);
  if (in.report_is_urgent()) owe_report(now);  // the peer may be waiting for this credit
}

void Session::say_goodbye(bool failed, std::string reason) {
  reason.resize(std::min(reason.size(), wire::kMaxTextBytes));
  our_goodbye_ = wire::Goodbye{.failed = failed, .reason = std::move(reason)};
  goodbye_due_ = true;
}

bool Session::drained() const {
  if (state_ == State::waiting || state_ == State::departed || state_ == State::failed) return true;
  if (!our_goodbye_ || !goodbye_acknowledged_) return false;
  return our_goodbye_->failed || std::all_of(lanes_.begin(), lanes_.end(), [](const Lane& l) {
           return l.out.all_acknowledged();
         });
}

std::uint64_t Session::queued_cost() const {
  return lanes_[0].out.queued_cost() + lanes_[1].out.queued_cost();
}

std::vector<std::string> Session::take_warnings() { return std::exchange(warnings_, {}); }

// ---- Frames arrive.

void Session::arrived(PathId id, wire::Frame frame, TimePoint now) {
  PathState* path = find(id);
  if (path == nullptr || state_ == State::failed) return;
  const bool first = !path->greeted;
  if (first && !std::holds_alternative<wire::Hello>(frame) &&
      !std::holds_alternative<wire::Goodbye>(frame)) {
    ++refused_frames_;
    return;
  }
  path->progress = now;
  if (!first) last_heard_ = now;
  std::visit([&](auto&& body) { on(*path, std::forward<decltype(body)>(body), now); },
             std::move(frame));
}

// What makes this hello one that we must not answer, with both values; nullopt if nothing.
std::optional<std::string> Session::stranger_in(const wire::Hello& hello) const {
  if (hello.version != wire::kProtocolVersion) {
    return fmt::format("{} speaks protocol version {}, ours is {}", options_.peer_name,
                       hello.version, wire::kProtocolVersion);
  }
  if (hello.stage == options_.self) {
    return fmt::format("{} says that it is stage {}, and so are we", options_.peer_name,
                       hello.stage.value());
  }
  if (hello.stage != options_.peer) {
    return fmt::format("{} says that it is stage {}", options_.peer_name, hello.stage.value());
  }
  const Introduction theirs{.run = hello.run,
                            .job_hash = hello.job_hash,
                            .stage_count = hello.stage_count,
                            .data_fingerprint = hello.data_fingerprint};
  if (auto difference = mismatch(options_.introduction, theirs)) {
    return fmt::format("{} has {}", options_.peer_name, *difference);
  }
  return std::nullopt;
}

void Session::on(PathState& path, const wire::Hello& hello, TimePoint now) {
  if (auto why = stranger_in(hello)) {
    // Our own hello still goes out, so that the other side sees the difference as well.
    if (settled_) {
      if (path.hello_due) farewells_.push_back({path.id, this->hello(path.channel)});
      return turn_away(path, *why);
    }
    return fail(ErrorKind::usage, *why,
                "start every stage with the same job file, the same ptrain and its own --stage");
  }
  const bool known = peer_incarnation_ != 0;
  if (known && hello.incarnation != peer_incarnation_) {
    if (service_path()) return contend(path, hello);
    if (!nothing_exchanged()) {
      return fail(ErrorKind::unavailable,
                  fmt::format("{} was restarted and has lost what it held", options_.peer_name),
                  "start the job again; it continues from its last checkpoint");
    }
  }
  adopt(path, hello, now);
}

bool Session::nothing_exchanged() const {
  return std::all_of(lanes_.begin(), lanes_.end(),
                     [](const Lane& l) { return l.out.acknowledged() == 0 && l.in.next() == 0; });
}

// A second incarnation while the first has a path: either the first has just died, or
// someone started the same stage twice. The first is asked to prove itself; the second is
// left without an answer and will dial again.
void Session::contend(PathState& path, const wire::Hello& hello) {
  if (!contender_ || contender_->incarnation != hello.incarnation) {
    contender_ = Contender{.incarnation = hello.incarnation};
    for (PathState& each : paths_) each.ping_due = each.ping_due || each.greeted;
  }
  if (!contender_->first_lives) {
    path.hello_due = false;
    return discard(path);
  }
  const std::string twice =
      fmt::format("stage {} was started twice: processes {:016x} and {:016x} both claim to be it",
                  options_.peer.value(), peer_incarnation_, hello.incarnation);
  if (!settled_) fail(ErrorKind::usage, twice, "give every process its own --stage");
  turn_away(path, twice);
}

void Session::turn_away(PathState& path, const std::string& why) {
  std::string reason = why.substr(0, wire::kMaxTextBytes);
  farewells_.push_back({path.id, wire::Goodbye{.failed = true, .reason = std::move(reason)}});
  path.hello_due = false;
  warnings_.push_back("turned away: " + why);
  discard(path);
}

void Session::adopt(PathState& path, const wire::Hello& hello, TimePoint now) {
  const bool reborn = peer_incarnation_ != 0 && hello.incarnation != peer_incarnation_;
  for (PathState& other : paths_) {
    if (!other.greeted || other.id == path.id) continue;
    const bool replaced = other.channel == path.channel && other.route == path.route;
    if (replaced || reborn) discard(other);
  }
  peer_incarnation_ = hello.incarnation;
  contender_.reset();
  path.greeted = true;
  last_heard_ = now;
  if (state_ == State::waiting) state_ = State::open;
  take_report(hello.received, now);
  choose_path(path.channel, now);
  if (our_goodbye_ && !goodbye_acknowledged_) goodbye_due_ = true;
}

void Session::on(PathState&, wire::Data data, TimePoint now) {
  Lane& target = lane(data.channel);
  const FrameReceiver::Outcome outcome = target.in.accept(std::move(data));
  switch (outcome.verdict) {
    case FrameReceiver::Verdict::accepted:
      leave_if_complete();
      break;
    case FrameReceiver::Verdict::duplicate:
      ++repeated_frames_;
      break;
    case FrameReceiver::Verdict::missing:
      ++refused_frames_;
      break;
    case FrameReceiver::Verdict::breach:
      return breach(outcome.why);
  }
  owe_report(target.in.report_is_urgent() ? now : now + options_.ack_delay);
}

void Session::on(PathState& path, const wire::Acknowledgement& acknowledgement, TimePoint now) {
  const std::uint64_t pings = path.watch.pings();
  if (contender_ && acknowledgement.pong == pings && pings != 0 && !path.ping_due) {
    contender_->first_lives = true;
  }
  take_report(acknowledgement, now);
  if (acknowledgement.pong == 0) return;
  const bool more = carries_data(path) && lane(path.channel).out.under_way();
  path.watch.ping_answered(acknowledgement.pong, now, more);
  choose_path(path.channel, now);
}

void Session::take_report(const wire::Acknowledgement& report, TimePoint now) {
  for (const Channel channel : wire::kAllChannels) {
    Lane& each = lane(channel);
    const wire::Received& received = report.of(channel);
    const std::uint64_t before = each.out.acknowledged();
    if (const auto flaw = each.out.acknowledge(received)) {
      return breach(*flaw);
    }
    if (received.missing) each.out.resend_from(received.next);
    if (each.out.acknowledged() == before) continue;
    each.choice.progressed();
    // What arrived at the other end proves the path that it went over.
    PathState* path = each.choice.path() ? find(*each.choice.path()) : nullptr;
    if (path == nullptr) continue;
    path->progress = now;
    path->watch.data_arrived(now, each.out.under_way());
  }
  if (report.goodbye) goodbye_acknowledged_ = our_goodbye_.has_value();
}

void Session::on(PathState& path, const wire::Ping& ping, TimePoint now) {
  path.last_ping = ping.number;
  path.pong_due = true;
  FrameReceiver& in = lane(path.channel).in;
  in.peer_has_sent(ping.sent);
  if (in.report_is_urgent()) owe_report(now);
}

void Session::on(PathState& path, const wire::Goodbye& goodbye, TimePoint now) {
  if (goodbye.failed) {
    const bool refused = !path.greeted;
    their_goodbye_ = goodbye;
    owe_report(now);
    return fail(goodbye.retry ? ErrorKind::try_again
                : refused     ? ErrorKind::usage
                              : ErrorKind::unavailable,
                fmt::format("{} {}: {}", options_.peer_name, refused ? "refused us" : "failed",
                            goodbye.reason));
  }
  if (!path.greeted) return;
  their_goodbye_ = goodbye;
  owe_report(now);
  leave_if_complete();
}

// A bundle keeps those of its connections to itself.
void Session::on(PathState&, const wire::Tally&, TimePoint) { ++refused_frames_; }

void Session::leave_if_complete() {
  if (!their_goodbye_ || state_ != State::open) return;
  if (lane(Channel::control).in.next() < their_goodbye_->control_frames) return;
  if (lane(Channel::bulk).in.next() < their_goodbye_->bulk_frames) return;
  state_ = State::departed;
}

// The peer is told as well: it is the one that can be mended.
void Session::breach(const std::string& why) {
  say_goodbye(true, why);
  fail(ErrorKind::corrupt, options_.peer_name + ": " + why);
}

void Session::fail(ErrorKind kind, const std::string& what, std::string hint) {
  if (state_ == State::failed) return;
  state_ = State::failed;
  failure_.emplace(kind, what, std::move(hint));
}

}  // namespace ptrain::net
