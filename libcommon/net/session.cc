#include "libcommon/net/session.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "libcommon/wire/envelope.h"

namespace ptrain::net {

using wire::Purpose;
using wire::Urgency;

namespace {

constexpr const char* kStartAgain = "start all stages of the job again";

}  // namespace

Session::Session(SessionOptions options, TimePoint now)
    : options_(std::move(options)),
      sequences_{make_sequence(Urgency::control), make_sequence(Urgency::pipeline),
                 make_sequence(Urgency::reduce)},
      choices_{make_choice(), make_choice()},
      last_heard_(now),
      linkless_since_(now),
      ticked_(now) {}

Session::Sequence Session::make_sequence(Urgency urgency) const {
  return {
      .out = FrameSender(urgency, options_.keep_limit.value()),
      .in = FrameReceiver(urgency, options_.credit_window.value(), options_.message_limit.value())};
}

RouteChoice Session::make_choice() const {
  return RouteChoice(
      {.allowed = options_.allowed_kinds,
       .trial_time = options_.trial_time,
       .patience = {.shortest = options_.patience, .longest = options_.stall_timeout}});
}

// ---- The application's side.

void Session::send(Urgency urgency, wire::Message message, Rank rank) {
  sequence(urgency).out.push(std::move(message), rank);
}

std::optional<Session::Received> Session::receive() {
  for (const Urgency urgency : wire::kAllUrgencies) {
    if (auto message = sequence(urgency).in.take()) return Received{urgency, std::move(*message)};
  }
  return std::nullopt;
}

void Session::consumed(Urgency urgency, std::uint64_t cost, TimePoint now) {
  FrameReceiver& in = sequence(urgency).in;
  in.consumed(cost);
  if (in.report_is_urgent()) owe_report(now);  // the peer may be waiting for this credit
}

void Session::say_goodbye(bool failed, std::string reason) {
  reason.resize(std::min(reason.size(), wire::kMaxTextBytes));
  our_goodbye_ = wire::Goodbye{.failed = failed, .reason = std::move(reason)};
  goodbye_due_ = true;
}

bool Session::drained() const {
  if (state_ == State::waiting || state_ == State::failed) return true;
  // It waits to hear that we know, and ends then; what we last said may be on its way still.
  if (state_ == State::departed) return goodbye_acknowledged_ || !has_link();
  if (!our_goodbye_ || !goodbye_acknowledged_) return false;
  return our_goodbye_->failed || std::ranges::all_of(sequences_, [](const Sequence& each) {
           return each.out.all_acknowledged();
         });
}

std::uint64_t Session::queued_cost() const {
  std::uint64_t cost = 0;
  for (const Sequence& each : sequences_) cost += each.out.queued_cost();
  return cost;
}

std::vector<std::string> Session::take_warnings() { return std::exchange(warnings_, {}); }

// ---- Frames arrive.

void Session::arrived(LinkId id, wire::Frame frame, std::uint64_t ordinal, TimePoint now) {
  Link* link = find(id);
  if (link == nullptr || link->discarded || state_ == State::failed) return;
  const bool first = !link->greeted;
  if (first && !std::holds_alternative<wire::Hello>(frame) &&
      !std::holds_alternative<wire::Goodbye>(frame)) {
    ++refused_frames_;
    return;
  }
  // A connection that loses or doubles a frame is none: what we report of it would be wrong.
  if (ordinal != link->arrived + 1) {
    ++refused_frames_;
    return discard(*link);
  }
  link->arrived = ordinal;
  link->progress = now;
  if (!first) last_heard_ = now;
  std::visit([&](auto&& body) { on(*link, std::forward<decltype(body)>(body), now); },
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
                            .data_fingerprint = hello.data_fingerprint,
                            .terms = hello.terms};
  if (auto difference = mismatch(options_.introduction, theirs)) {
    return fmt::format("{} has {}", options_.peer_name, *difference);
  }
  return std::nullopt;
}

void Session::on(Link& link, const wire::Hello& hello, TimePoint now) {
  if (auto why = stranger_in(hello)) {
    // Our own hello still goes out, so that the other side sees the difference as well.
    if (settled_) {
      if (link.hello_due) farewells_.push_back(on_link(link, this->hello(link)));
      return turn_away(link, *why);
    }
    return fail(Loss::refused, ErrorKind::usage, *why,
                "start every stage with the same job file, the same ptrain and its own --stage");
  }
  // It goes on with a session that a process before us had: our own hello shows it that.
  if (hello.to != 0 && hello.to != options_.incarnation) {
    if (link.hello_due) farewells_.push_back(on_link(link, this->hello(link)));
    link.hello_due = false;
    warnings_.push_back(options_.peer_name + " has a session with an earlier process of ours");
    return discard(link);
  }
  const bool known = peer_incarnation_ != 0;
  if (known && hello.incarnation != peer_incarnation_) {
    if (has_link()) return contend(link, hello);
    if (!nothing_exchanged()) {
      successor_ = {.link = link.id, .hello = hello};
      return fail(Loss::restarted, ErrorKind::unavailable,
                  fmt::format("{} was restarted and has lost what it held", options_.peer_name),
                  kStartAgain);
    }
  }
  adopt(link, hello, now);
}

bool Session::nothing_exchanged() const {
  return std::ranges::all_of(sequences_, [](const Sequence& each) {
    return each.out.acknowledged() == 0 && each.in.next() == 0;
  });
}

// A second incarnation while the first has a link: either the first has just died, or
// someone started the same stage twice. The first is asked to prove itself; the second is
// left without an answer and will dial again.
void Session::contend(Link& link, const wire::Hello& hello) {
  if (!contender_ || contender_->incarnation != hello.incarnation) {
    contender_ = Contender{.incarnation = hello.incarnation};
    for (Link& each : links_) each.ping_due = each.ping_due || each.greeted;
  }
  if (!contender_->first_lives) {
    link.hello_due = false;
    return discard(link);
  }
  const std::string twice =
      fmt::format("{} was started twice: processes {:016x} and {:016x} both claim to be it",
                  options_.peer_name, peer_incarnation_, hello.incarnation);
  if (!settled_)
    fail(Loss::refused, ErrorKind::usage, twice, "give every process its own --stage or --cell");
  turn_away(link, twice);
}

void Session::turn_away(Link& link, const std::string& why) {
  std::string reason = why.substr(0, wire::kMaxTextBytes);
  farewells_.push_back(on_link(link, wire::Goodbye{.failed = true, .reason = std::move(reason)}));
  link.hello_due = false;
  warnings_.push_back("turned away: " + why);
  discard(link);
}

void Session::adopt(Link& link, const wire::Hello& hello, TimePoint now) {
  const bool reborn = peer_incarnation_ != 0 && hello.incarnation != peer_incarnation_;
  for (Link& other : links_) {
    if (!other.greeted || other.id == link.id) continue;
    const bool replaced = other.introduction.purpose == link.introduction.purpose &&
                          other.introduction.line == link.introduction.line;
    if (replaced || reborn) discard(other);
  }
  peer_incarnation_ = hello.incarnation;
  contender_.reset();
  link.greeted = true;
  greeting_patience_ = Duration::zero();
  last_heard_ = now;
  if (state_ == State::waiting) state_ = State::open;
  take_report(hello.received, now);
  choose_links(link.introduction.purpose, now);
  if (our_goodbye_ && !goodbye_acknowledged_) goodbye_due_ = true;
}

void Session::on(Link& link, wire::Data data, TimePoint now) {
  Sequence& target = sequence(data.urgency);
  link.unreported_cost += frame_cost(data.payload.size());
  const FrameReceiver::Outcome outcome = target.in.accept(std::move(data));
  switch (outcome.verdict) {
    case FrameReceiver::Verdict::accepted:
      leave_if_complete();
      break;
    case FrameReceiver::Verdict::duplicate:
      ++repeated_frames_;
      break;
    case FrameReceiver::Verdict::damaged:
      // What was on the link is sent again over another, and this frame must not be reported.
      ++refused_frames_;
      return discard(link);
    case FrameReceiver::Verdict::breach:
      return breach(outcome.why);
  }
  link.data_arrived = link.arrived;
  const bool urgent = target.in.report_is_urgent() || link.unreported_cost >= kLinkReportCost;
  owe_report(urgent ? now : now + options_.ack_delay);
}

void Session::on(Link& link, const wire::Acknowledgement& acknowledgement, TimePoint now) {
  const std::uint64_t pings = link.watch.pings();
  if (contender_ && acknowledgement.pong == pings && pings != 0 && !link.ping_due) {
    contender_->first_lives = true;
  }
  take_report(acknowledgement, now);
  if (acknowledgement.pong == 0) return;
  link.watch.ping_answered(acknowledgement.pong, now, !link.under_way.empty());
  if (const auto known = round_trip()) round_trip_ = *known;
  choose_links(link.introduction.purpose, now);
}

void Session::take_report(const wire::Acknowledgement& report, TimePoint now) {
  for (const wire::LinkReport& each : report.links) take_link_report(each, now);
  for (const Urgency urgency : wire::kAllUrgencies) {
    FrameSender& out = sequence(urgency).out;
    const std::uint64_t before = out.acknowledged();
    if (const auto flaw = out.acknowledge(report.of(urgency))) return breach(*flaw);
    if (out.acknowledged() != before) choice(wire::purpose_of(urgency)).progressed();
  }
  if (report.goodbye) goodbye_acknowledged_ = our_goodbye_.has_value();
}

// What arrived at the other end proves the link that it went over.
void Session::take_link_report(const wire::LinkReport& report, TimePoint now) {
  const auto found = std::ranges::find_if(
      links_, [&](const Link& each) { return each.introduction.number == report.link; });
  if (found == links_.end()) return;  // it has ended
  Link& link = *found;
  if (report.ordinal > link.sent) {
    return breach(fmt::format("frame {} of a connection reported, only {} were sent",
                              report.ordinal, link.sent));
  }
  bool news = false;
  while (!link.under_way.empty() && link.under_way.front().ordinal <= report.ordinal) {
    const UnderWay& arrived = link.under_way.front();
    sequence(arrived.urgency).out.arrived(arrived.sequence);
    link.under_way_cost -= arrived.cost;
    link.under_way.pop_front();
    news = true;
  }
  if (!news) return;
  link.progress = now;
  link.watch.data_arrived(now, !link.under_way.empty());
}

void Session::on(Link& link, const wire::Ping& ping, TimePoint) {
  link.last_ping = ping.number;
  link.pong_due = true;
}

void Session::on(Link& link, const wire::Goodbye& goodbye, TimePoint now) {
  if (goodbye.failed) {
    const bool refused = !link.greeted;
    their_goodbye_ = goodbye;
    owe_report(now);
    return fail(refused || goodbye.retry ? Loss::refused : Loss::failed,
                goodbye.retry ? ErrorKind::try_again
                : refused     ? ErrorKind::usage
                              : ErrorKind::unavailable,
                fmt::format("{} {}: {}", options_.peer_name, refused ? "refused us" : "failed",
                            goodbye.reason));
  }
  if (!link.greeted) return;
  their_goodbye_ = goodbye;
  owe_report(now);
  leave_if_complete();
}

void Session::leave_if_complete() {
  if (!their_goodbye_ || state_ != State::open) return;
  for (const Urgency urgency : wire::kAllUrgencies) {
    const std::uint64_t sent = their_goodbye_->frames[static_cast<std::size_t>(urgency)];
    if (sequence(urgency).in.next() < sent) return;
  }
  state_ = State::departed;
}

// The peer is told as well: it is the one that can be mended.
void Session::breach(const std::string& why) {
  say_goodbye(true, why);
  fail(Loss::failed, ErrorKind::corrupt, options_.peer_name + ": " + why);
}

void Session::fail(Loss loss, ErrorKind kind, const std::string& what, std::string hint) {
  if (state_ == State::failed) return;
  state_ = State::failed;
  loss_ = loss;
  failure_.emplace(kind, what, std::move(hint));
}

}  // namespace ptrain::net
