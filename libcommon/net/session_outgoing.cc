// The half of a session that speaks by itself: what time brings up, and which frame is next.

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "libcommon/net/session.h"
#include "libcommon/wire/envelope.h"

namespace ptrain::net {

using wire::Purpose;
using wire::Urgency;

// ---- Time passes.

void Session::owe_report(TimePoint when) {
  report_due_ = report_due_ ? std::min(*report_due_, when) : when;
}

void Session::tick(TimePoint now) {
  ticked_ = now;
  if (state_ == State::failed) return;
  if (state_ == State::open) check_peer(now);
  check_links(now);
  const bool asked_in_vain = our_goodbye_ && !goodbye_acknowledged_ && !goodbye_due_ &&
                             now - goodbye_sent_ >= options_.ping_interval;
  if (asked_in_vain) goodbye_due_ = true;
}

void Session::check_peer(TimePoint now) {
  if (!has_link()) {
    if (now < absence_ends()) return;
    return fail(outage_ ? Loss::silent : Loss::failed, ErrorKind::unavailable,
                fmt::format("{} is gone: no connection for {:.1f} s", options_.peer_name,
                            seconds(now - linkless_since_)));
  }
  if (now - last_heard_ >= options_.silence_timeout) {
    fail(Loss::silent, ErrorKind::unavailable,
         fmt::format("{} has been silent for {:.1f} s", options_.peer_name,
                     seconds(now - last_heard_)));
  }
}

// What an outage may look like for a moment, when the network comes and goes, is not held against
// the peer: its host has answered for half of the time.
void Session::host_answered(TimePoint now) {
  if (state_ != State::open || has_link() || !outage_) return;
  if (!host_answers_since_ || now - host_answered_ > kAnswersOfHost) host_answers_since_ = now;
  host_answered_ = now;
  if (now - *host_answers_since_ < options_.silence_timeout / 2) return;
  if (now - last_heard_ < options_.silence_timeout) return;
  fail(Loss::silent, ErrorKind::unavailable,
       fmt::format("{} has been silent for {:.1f} s, though its host answers", options_.peer_name,
                   seconds(now - last_heard_)));
}

std::optional<Outage> Session::outage() const {
  if (state_ != State::open || has_link()) return std::nullopt;
  return Outage{.since = linkless_since_, .ends = absence_ends()};
}

TimePoint Session::absence_ends() const {
  if (outage_) return linkless_since_ + options_.outage_timeout;
  Duration patience = options_.reconnect_timeout;
  if (absent_) patience = std::min(patience, options_.absence_timeout);
  return linkless_since_ + std::max<Duration>(patience, kReconnectRoundTrips * round_trip_);
}

TimePoint Session::next_tick() const {
  if (state_ == State::failed) return TimePoint::max();
  TimePoint next = TimePoint::max();
  if (report_due_ && has_link()) next = *report_due_;
  if (state_ == State::open) {
    next = std::min(next, has_link() ? last_heard_ + options_.silence_timeout : absence_ends());
  }
  // One that is due goes when all before it has gone; until then there is nothing to wake for.
  if (our_goodbye_ && !goodbye_acknowledged_ && !goodbye_due_ && has_link()) {
    next = std::min(next, goodbye_sent_ + options_.ping_interval);
  }
  for (const Link& link : links_) {
    if (link.discarded) continue;
    if (!link.greeted) {
      next = std::min(next, link.greeted_by);
      continue;
    }
    next = std::min({next, link.progress + options_.stall_timeout, ping_at(link, ticked_)});
    if (!in_use(link)) continue;
    // Once it has stalled, only news of another link can change anything.
    const RouteChoice& chosen = choice(link.introduction.purpose);
    const TimePoint stalls_at = leads(link) ? chosen.stalls_at(link.watch) : link.watch.stalls_at();
    if (stalls_at > ticked_) next = std::min(next, stalls_at);
  }
  return next;
}

// ---- Frames leave.

wire::Acknowledgement Session::report() {
  wire::Acknowledgement report;
  for (const Urgency urgency : wire::kAllUrgencies) {
    report.of(urgency) = sequence(urgency).in.report();
  }
  report.goodbye = their_goodbye_.has_value();
  for (Link& link : links_) {
    if (link.data_arrived == link.reported) continue;
    if (report.links.size() == wire::kMaxLinkReports) break;
    report.links.push_back({link.introduction.number, link.data_arrived});
    link.reported = link.data_arrived;
    link.unreported_cost = 0;
  }
  return report;
}

wire::Hello Session::hello(const Link& link) {
  wire::Hello hello{.version = wire::kProtocolVersion,
                    .run = options_.introduction.run,
                    .job_hash = options_.introduction.job_hash,
                    .stage_count = options_.introduction.stage_count,
                    .data_fingerprint = options_.introduction.data_fingerprint,
                    .stage = options_.self,
                    .incarnation = options_.incarnation,
                    .to = peer_incarnation_,
                    .link = link.introduction,
                    .received = {},
                    .terms = options_.introduction.terms};
  for (const Urgency urgency : wire::kAllUrgencies) {
    hello.received.of(urgency) = sequence(urgency).in.report();
  }
  return hello;
}

// Over a link that is on trial it is as large as data is.
wire::Ping Session::ping(Link& link, TimePoint now) {
  wire::Ping ping;
  if (!in_use(link) && link.watch.answers() < kTrialAnswers) ping.padding = wire::kMaxPingPadding;
  ping.number = link.watch.ping_sent(now);
  return ping;
}

// Reports go with control, so that they never wait behind bulk.
Session::Link* Session::service_link() {
  const auto control = choice(Purpose::control).link();
  const auto used = control ? control : choice(Purpose::bulk).link();
  return used ? find(*used) : nullptr;
}

bool Session::has_link() const {
  return std::ranges::any_of(choices_,
                             [](const RouteChoice& each) { return each.link().has_value(); });
}

std::optional<Duration> Session::round_trip() const {
  const auto used = choice(Purpose::control).link();
  const Link* link = used ? find(*used) : nullptr;
  return link == nullptr ? std::nullopt : link->watch.round_trip();
}

bool Session::data_waits() const {
  return state_ == State::open &&
         std::ranges::any_of(sequences_, [](const Sequence& each) { return each.out.ready(); });
}

std::optional<Session::Outgoing> Session::next_frame(TimePoint now, DataMay data_may) {
  if (auto service = next_service_frame(now)) return service;
  if (state_ == State::failed || state_ == State::waiting) return std::nullopt;
  for (const Urgency urgency : wire::kAllUrgencies) {
    if (data_may == DataMay::wait && urgency != Urgency::control) return std::nullopt;
    FrameSender& out = sequence(urgency).out;
    if (!out.ready()) continue;
    Link* link = idlest(wire::purpose_of(urgency), now);
    if (link == nullptr) continue;
    wire::Data data = out.next(link->id);
    const std::uint64_t cost = frame_cost(data.payload.size());
    link->under_way.push_back(
        {.ordinal = link->sent + 1, .urgency = urgency, .sequence = data.sequence, .cost = cost});
    link->under_way_cost += cost;
    link->watch.data_sent(now);
    return on_link(*link, std::move(data));
  }
  return std::nullopt;
}

std::optional<Session::Outgoing> Session::next_service_frame(TimePoint now) {
  if (!farewells_.empty()) {
    Outgoing farewell = std::move(farewells_.front());
    farewells_.erase(farewells_.begin());
    return farewell;
  }
  for (Link& link : links_) {
    if (link.discarded) continue;
    if (std::exchange(link.hello_due, false)) return on_link(link, hello(link));
    if (std::exchange(link.pong_due, false)) {
      wire::Acknowledgement pong = report();
      pong.pong = link.last_ping;
      return on_link(link, std::move(pong));
    }
    if (std::exchange(link.ping_due, false)) return on_link(link, ping(link, now));
  }
  Link* service = service_link();
  if (service == nullptr) return std::nullopt;
  if (report_due_ && *report_due_ <= now) {
    report_due_.reset();
    return on_link(*service, report());
  }
  const bool all_cut =
      std::ranges::all_of(sequences_, [](const Sequence& each) { return each.out.all_cut(); });
  if (goodbye_due_ && (all_cut || our_goodbye_->failed)) {
    goodbye_due_ = false;
    goodbye_sent_ = now;
    for (const Urgency urgency : wire::kAllUrgencies) {
      our_goodbye_->frames[static_cast<std::size_t>(urgency)] = sequence(urgency).out.numbered();
    }
    return on_link(*service, *our_goodbye_);
  }
  return std::nullopt;
}

}  // namespace ptrain::net
