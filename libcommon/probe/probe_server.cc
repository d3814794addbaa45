#include "libcommon/probe/probe_server.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <variant>

#include <fmt/format.h>

#include "libcommon/net/guest_admission.h"
#include "libcommon/probe/probing.h"

namespace ptrain::probe {
namespace {

using std::chrono::duration_cast;
using std::chrono::microseconds;

constexpr Duration kStopQuestionInterval = std::chrono::milliseconds(100);
constexpr Duration kErrandLook = std::chrono::milliseconds(10);  // whether it is over
constexpr int kEventsPerRound = 256;                             // then what is sent has its turn
constexpr Duration kGoodbye = std::chrono::seconds(2);
// An honest asker's pace, seen through a queue that empties at once.
constexpr double kPaceSlackSeconds = 2;
constexpr std::uint64_t kPaceSlackBytes = 1u << 20;

net::NodeOptions node_options(const ProbeServerOptions& options) {
  return {.introduction = introduction(),
          .self = kServerPlace,
          .counterpart = kAskerPlace,
          .key = options.key,
          .listen = options.listen,
          .message_limit = ByteCount(wire::kMaxProbeBytes)};
}

std::unique_ptr<net::Company> admission_for(const ProbeServerOptions& options) {
  return std::make_unique<net::GuestAdmission>(
      net::GuestRules{.introduction = introduction(),
                      .place = kAskerPlace,
                      .admitted = options.admitted,
                      .max_guests = kMaxAskers,
                      .admitting_option = "--admit",
                      .busy_answer = "; try again later",
                      .member_roles = options.meeting ? std::string(kAskerRoles) : ""});
}

}  // namespace

ProbeServer::ProbeServer(ProbeServerOptions options, Log& log, const Clock& clock)
    : options_(std::move(options)),
      log_(log),
      clock_(clock),
      node_(node_options(options_), admission_for(options_), log, clock) {
  if (options_.meeting) {
    const std::string name = options_.name.empty() ? draw_name() : options_.name;
    node_.meet(*options_.meeting, std::string(kServerRoles) + name);
  }
  node_.start();
}

void ProbeServer::run(const std::function<bool()>& stop) {
  while (!stop()) {
    if (auto event = node_.next(patience())) take(std::move(*event));
    for (int i = 0; i < kEventsPerRound; ++i) {
      auto event = node_.next(Duration::zero());
      if (!event) break;
      take(std::move(*event));
    }
    pump();
    report_arrived();
    report_errand();
    if (place_ && clock_.now() >= place_->until) send_away("its time is over");
  }
  vacate("the server ended");
  node_.close(kGoodbye);
}

Duration ProbeServer::patience() const {
  Duration patience = errand_ ? kErrandLook : kStopQuestionInterval;
  if (!place_) return patience;
  const TimePoint now = clock_.now();
  if (place_->sending) patience = std::min(patience, place_->sending->patience(now));
  const auto& receiving = place_->receiving;
  if (receiving && receiving->reported < receiving->bytes) {
    patience = std::min(patience, receiving->report_at - now);
  }
  return std::max(patience, Duration::zero());
}

// ---- What comes.

void ProbeServer::take(net::NodeEvent event) {
  if (const auto* delivery = std::get_if<net::Delivery>(&event)) return take(*delivery);
  const auto* down = std::get_if<net::Down>(&event);
  if (down != nullptr && seeker_ == down->peer) {
    errands_->abandon();
    errands_->seek({});
    errand_.reset();
    seeker_.reset();
  }
  if (down == nullptr || !place_ || place_->asker != down->peer) return;
  vacate(down->error ? down->error->what() : "the asker left");
}

void ProbeServer::take(const net::Delivery& delivery) {
  const bool has_place = place_ && place_->asker == delivery.from;
  const std::uint64_t test = delivery.message.name.step.value();
  if (delivery.message.name.kind == wire::MessageKind::probe_bytes) {
    if (has_place) return count(test, delivery.message.payload.size());
    return node_.dismiss(delivery.from, "it sends bytes, and has not reserved the place");
  }
  const auto order = wire::read_probe_order(delivery.message);
  if (const auto* malformed = std::get_if<wire::Malformed>(&order)) {
    return has_place ? send_away(malformed->why) : node_.dismiss(delivery.from, malformed->why);
  }
  obey(delivery.from, test, std::get<wire::ProbeOrder>(order));
}

void ProbeServer::obey(const net::WorkerId& asker, std::uint64_t test,
                       const wire::ProbeOrder& order) {
  if (const auto* wanted = std::get_if<wire::ProbeReserve>(&order)) {
    return reserve(asker, test, *wanted);
  }
  if (const auto* wanted = std::get_if<wire::ProbeSeek>(&order)) return seek(asker, *wanted);
  if (const auto* wanted = std::get_if<wire::ProbeErrand>(&order)) {
    return run_errand(asker, test, *wanted);
  }
  if (!place_ || place_->asker != asker) {
    return node_.dismiss(asker, "an order of one that has not reserved the place");
  }
  if (const auto* echo = std::get_if<wire::ProbeEcho>(&order)) {
    if (++place_->echoes > kMaxEchoes) {
      return send_away(fmt::format("more than {} echoes in one test", kMaxEchoes));
    }
    tell(test, *echo);
  } else if (const auto* receiving = std::get_if<wire::ProbeReceive>(&order)) {
    receive(test, *receiving);
  } else if (const auto* sending = std::get_if<wire::ProbeSend>(&order)) {
    send(test, *sending);
  } else if (std::holds_alternative<wire::ProbeHalt>(order)) {
    if (place_->sending) place_->sending->halt();
  } else {
    vacate("");
  }
}

void ProbeServer::reserve(const net::WorkerId& asker, std::uint64_t test,
                          const wire::ProbeReserve& order) {
  const TimePoint now = clock_.now();
  const bool away = errand_ && !errand_->beside;
  if (away || (place_ && place_->asker != asker)) {
    const TimePoint until = away ? errand_->until : place_->until;
    const auto left = duration_cast<microseconds>(until - now);
    const wire::ProbeBusy busy{std::clamp(left, microseconds(0), wire::kMaxProbeTime)};
    node_.send(asker, wire::Urgency::control, wire::probe_report_message(test, busy));
    return;
  }
  vacate("it begins another");
  const wire::ProbeLimits granted = lower_of(order.limits, options_.limits);
  place_.emplace(
      Place{.asker = asker, .limits = granted, .until = now + 2 * granted.time + kPlaceBesides});
  options_.observer({.kind = TestReport::Kind::began});
  tell(test, wire::ProbeGranted{granted});
}

// ---- Errands.

// Of members of the run only, and of these only where nobody else is let in: a key that --admit
// names may measure the link to us, and sends us nowhere.
bool ProbeServer::takes_errands(const net::WorkerId& asker) {
  if (options_.meeting && options_.key && options_.admitted && options_.admitted->empty()) {
    if (!errands_) {
      errands_ = std::make_unique<ErrandRunner>(*options_.meeting, *options_.key, log_, clock_);
    }
    return true;
  }
  node_.dismiss(asker, "errands are for the members of a run, and there are others here, or none");
  return false;
}

void ProbeServer::seek(const net::WorkerId& asker, const wire::ProbeSeek& order) {
  if (!takes_errands(asker)) return;
  // Its sessions would be taken away.
  if (seeker_ && *seeker_ != asker) {
    return node_.dismiss(asker, "another measures all links; try again later");
  }
  seeker_ = asker;
  errands_->seek(order.names);
}

void ProbeServer::run_errand(const net::WorkerId& asker, std::uint64_t test,
                             wire::ProbeErrand errand) {
  if (!takes_errands(asker)) return;
  if (seeker_ != asker)
    return node_.dismiss(asker, "an errand to a server that was not named before");
  errand.limits = lower_of(errand.limits, options_.limits);
  if (errand_ || errands_->busy() || (place_ && !errand.beside)) {
    wire::ProbeMeasured refusal = failed("it measures with another");
    refusal.busy = true;
    node_.send(asker, wire::Urgency::control, wire::probe_report_message(test, refusal));
    return;
  }
  errand_ = Errand{.asker = asker,
                   .test = test,
                   .until = clock_.now() + 2 * errand.limits.time + kErrandBesides,
                   .beside = errand.beside};
  errands_->begin(std::move(errand));
}

void ProbeServer::report_errand() {
  if (!errand_) return;
  const auto result = errands_->take_result();
  if (!result) return;
  node_.send(errand_->asker, wire::Urgency::control,
             wire::probe_report_message(errand_->test, *result));
  errand_.reset();
}

// ---- What the asker sends.

void ProbeServer::receive(std::uint64_t test, const wire::ProbeReceive& order) {
  if (place_->received > 0 || place_->receiving) {
    return send_away("it wants to send twice in one test");
  }
  place_->receiving = Receiving{
      .test = test, .limits = lower_of(order.limits, place_->limits), .begun = clock_.now()};
}

void ProbeServer::count(std::uint64_t test, std::uint64_t payload_bytes) {
  auto& receiving = place_->receiving;
  if (!receiving || receiving->test != test) {
    return send_away("it sends bytes without an order that they be received");
  }
  const TimePoint now = clock_.now();
  if (!receiving->first) {
    receiving->first = now;
    receiving->report_at = now + kReportInterval;
  }
  receiving->last = now;
  receiving->bytes += carried(payload_bytes);
  const wire::ProbeLimits& limits = receiving->limits;
  if (receiving->bytes > limits.bytes.value()) {
    return send_away(
        fmt::format("it sends more than the {} bytes that were granted", limits.bytes.value()));
  }
  if (limits.rate_bytes_per_s == 0) return;
  const double allowed = static_cast<double>(limits.rate_bytes_per_s) *
                             (seconds(now - receiving->begun) + kPaceSlackSeconds) +
                         static_cast<double>(kPaceSlackBytes);
  if (static_cast<double>(receiving->bytes) <= allowed) return;
  send_away(fmt::format("it sends faster than the {} bytes a second that were granted",
                        limits.rate_bytes_per_s));
}

void ProbeServer::report_arrived() {
  if (!place_ || !place_->receiving) return;
  Receiving& receiving = *place_->receiving;
  const TimePoint now = clock_.now();
  if (receiving.reported == receiving.bytes || now < receiving.report_at) return;
  tell(receiving.test,
       wire::ProbeArrived{.bytes = ByteCount(receiving.bytes),
                          .since = duration_cast<microseconds>(receiving.last - *receiving.first)});
  receiving.reported = receiving.bytes;
  receiving.report_at = now + kReportInterval;
}

// ---- What we send.

void ProbeServer::send(std::uint64_t test, const wire::ProbeSend& order) {
  if (place_->sent > 0 || place_->sending) {
    return send_away("it wants to be sent something twice in one test");
  }
  place_->sending.emplace(node_,
                          Flow{.to = place_->asker,
                               .test = test,
                               .limits = lower_of(order.limits, place_->limits),
                               .round_trip = order.round_trip},
                          clock_.now());
}

void ProbeServer::pump() {
  if (!place_ || !place_->sending) return;
  FlowSender& sending = *place_->sending;
  sending.pump(clock_.now());
  if (!sending.over()) return;
  place_->sent += sending.sent_bytes();
  tell(sending.flow().test, wire::ProbeSent{ByteCount(sending.sent_bytes())});
  place_->sending.reset();
}

// ---- The place.

void ProbeServer::end_flows(Place& place) {
  if (place.receiving) place.received += place.receiving->bytes;
  if (place.sending) place.sent += place.sending->sent_bytes();
}

void ProbeServer::vacate(const std::string& why) {
  if (!place_) return;
  end_flows(*place_);
  options_.observer({.kind = TestReport::Kind::ended,
                     .received = ByteCount(place_->received),
                     .sent = ByteCount(place_->sent),
                     .why = why});
  place_.reset();
}

void ProbeServer::send_away(const std::string& why) {
  const net::WorkerId asker = place_->asker;
  vacate(why);
  node_.dismiss(asker, why);
}

void ProbeServer::tell(std::uint64_t test, const wire::ProbeReport& report) {
  node_.send(place_->asker, wire::Urgency::control, wire::probe_report_message(test, report));
}

}  // namespace ptrain::probe
