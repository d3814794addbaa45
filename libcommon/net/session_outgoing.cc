// The half of a session that speaks by itself: what time brings up, and which frame is next.

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "libcommon/net/session.h"
#include "libcommon/wire/envelope.h"

namespace ptrain::net {

using wire::Channel;

// ---- Time passes.

void Session::owe_report(TimePoint when) {
  report_due_ = report_due_ ? std::min(*report_due_, when) : when;
}

void Session::tick(TimePoint now) {
  ticked_ = now;
  if (state_ == State::failed) return;
  if (state_ == State::open) check_peer(now);
  check_paths(now);
  const bool asked_in_vain = our_goodbye_ && !goodbye_acknowledged_ && !goodbye_due_ &&
                             now - goodbye_sent_ >= options_.ping_interval;
  if (asked_in_vain) goodbye_due_ = true;
}

void Session::check_peer(TimePoint now) {
  if (!service_path()) {
    if (now < absence_ends()) return;
    return fail(ErrorKind::unavailable,
                fmt::format("{} is gone: no connection for {:.1f} s", options_.peer_name,
                            seconds(now - pathless_since_)));
  }
  if (now - last_heard_ >= options_.silence_timeout) {
    fail(ErrorKind::unavailable, fmt::format("{} has been silent for {:.1f} s", options_.peer_name,
                                             seconds(now - last_heard_)));
  }
}

// What an outage may look like for a moment, when the link comes and goes, is not held against the
// peer: its host has answered for half of the time.
void Session::host_answered(TimePoint now) {
  if (state_ != State::open || service_path() || !outage_) return;
  if (!host_answers_since_ || now - host_answered_ > kAnswersOfHost) host_answers_since_ = now;
  host_answered_ = now;
  if (now - *host_answers_since_ < options_.silence_timeout / 2) return;
  if (now - last_heard_ < options_.silence_timeout) return;
  fail(ErrorKind::unavailable,
       fmt::format("{} has been silent for {:.1f} s, though its host answers", options_.peer_name,
                   seconds(now - last_heard_)));
}

TimePoint Session::absence_ends() const {
  return pathless_since_ + (outage_ ? options_.outage_timeout : options_.reconnect_timeout);
}

TimePoint Session::next_tick() const {
  if (state_ == State::failed) return TimePoint::max();
  TimePoint next = TimePoint::max();
  if (report_due_ && service_path()) next = *report_due_;
  if (state_ == State::open) {
    next = std::min(next, service_path() ? last_heard_ + options_.silence_timeout : absence_ends());
  }
  if (our_goodbye_ && !goodbye_acknowledged_ && service_path()) {
    next = std::min(next, goodbye_sent_ + options_.ping_interval);
  }
  for (const PathState& path : paths_) {
    if (path.discarded) continue;
    if (!path.greeted) {
      next = std::min(next, path.opened + options_.greeting_timeout);
      continue;
    }
    next = std::min({next, path.progress + options_.stall_timeout, ping_at(path, ticked_)});
    if (!carries_data(path)) continue;
    // Once it has stalled, only news of another path can change anything.
    const TimePoint stalls_at = lane(path.channel).choice.stalls_at(path.watch);
    if (stalls_at > ticked_) next = std::min(next, stalls_at);
  }
  return next;
}

// ---- Frames leave.

wire::Acknowledgement Session::report() {
  wire::Acknowledgement report;
  for (const Channel channel : wire::kAllChannels) report.of(channel) = lane(channel).in.report();
  report.goodbye = their_goodbye_.has_value();
  return report;
}

wire::Hello Session::hello(Channel channel) {
  return {.version = wire::kProtocolVersion,
          .run = options_.introduction.run,
          .job_hash = options_.introduction.job_hash,
          .stage_count = options_.introduction.stage_count,
          .data_fingerprint = options_.introduction.data_fingerprint,
          .stage = options_.self,
          .incarnation = options_.incarnation,
          .channel = channel,
          .received = report()};
}

// Over the path that carries the data it also says how much there was, so that the peer notices
// what is missing; over another one, that is on trial, it is as large as data is.
wire::Ping Session::ping(PathState& path, TimePoint now) {
  wire::Ping ping;
  if (carries_data(path)) {
    ping.sent = lane(path.channel).out.cursor();
  } else if (path.watch.answers() < kTrialAnswers) {
    ping.padding = wire::kMaxPingPadding;
  }
  ping.number = path.watch.ping_sent(now);
  return ping;
}

// Reports go with control, so that they never wait behind bulk.
std::optional<PathId> Session::service_path() const {
  const auto control = lane(Channel::control).choice.path();
  return control ? control : lane(Channel::bulk).choice.path();
}

std::optional<Duration> Session::round_trip() const {
  const auto used = lane(Channel::control).choice.path();
  for (const PathState& path : paths_) {
    if (path.id == used) return path.watch.round_trip();
  }
  return std::nullopt;
}

std::optional<Session::Outgoing> Session::next_frame(TimePoint now) {
  if (auto service = next_service_frame(now)) return service;
  if (state_ == State::failed || state_ == State::waiting) return std::nullopt;
  for (const Channel channel : wire::kAllChannels) {
    Lane& each = lane(channel);
    PathState* path = each.choice.path() ? find(*each.choice.path()) : nullptr;
    if (path == nullptr || path->hello_due || !each.out.ready()) continue;
    path->watch.data_sent(now);
    return Outgoing{path->id, each.out.next()};
  }
  return std::nullopt;
}

std::optional<Session::Outgoing> Session::next_service_frame(TimePoint now) {
  if (!farewells_.empty()) {
    Outgoing farewell = std::move(farewells_.front());
    farewells_.erase(farewells_.begin());
    return farewell;
  }
  for (PathState& path : paths_) {
    if (std::exchange(path.hello_due, false)) return Outgoing{path.id, hello(path.channel)};
    if (std::exchange(path.pong_due, false)) {
      wire::Acknowledgement pong = report();
      pong.pong = path.last_ping;
      return Outgoing{path.id, pong};
    }
    if (std::exchange(path.ping_due, false)) return Outgoing{path.id, ping(path, now)};
  }
  const auto service = service_path();
  if (!service) return std::nullopt;
  if (report_due_ && *report_due_ <= now) {
    report_due_.reset();
    return Outgoing{*service, report()};
  }
  const bool all_cut = lanes_[0].out.all_cut() && lanes_[1].out.all_cut();
  if (goodbye_due_ && (all_cut || our_goodbye_->failed)) {
    goodbye_due_ = false;
    goodbye_sent_ = now;
    our_goodbye_->control_frames = lane(Channel::control).out.numbered();
    our_goodbye_->bulk_frames = lane(Channel::bulk).out.numbered();
    return Outgoing{*service, *our_goodbye_};
  }
  return std::nullopt;
}

}  // namespace ptrain::net
