#include "libcommon/probe/link_test.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <variant>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/probe/flow_sender.h"
#include "libcommon/probe/probing.h"
#include "libcommon/probe/sought_servers.h"

namespace ptrain::probe {
namespace {

using std::chrono::duration_cast;
using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr std::size_t kCoarseEchoes = 20;
constexpr std::size_t kWarmUpEchoes = 3;
constexpr Duration kIdleInterval = milliseconds(20);
constexpr Duration kLoadedInterval = milliseconds(50);
// Beside a way; on a link with a long queue they wait in it.
constexpr std::size_t kMostEchoesUnderWay = 64;
// At what is known of the rate: its computation costs something, and so does what is sent until
// then.
constexpr Duration kLook = milliseconds(100);
constexpr Duration kCoarseLook = milliseconds(25);
constexpr Duration kMostPatience = milliseconds(100);
constexpr Duration kAskAgain = milliseconds(250);
// For an answer that a peer owes, and for what is under way to arrive, after its time.
constexpr Duration kAnswerTime = std::chrono::seconds(30);
// As often a better path may come into use while round trips are measured.
constexpr int kMostPaths = 4;
// A rate that is so near its limit is that of the limit.
constexpr double kNearLimit = 0.95;

std::string when_refused(const std::optional<net::KeyPair>& key) {
  if (!key) return "";
  return fmt::format("its owner lets you in with: ptrain-probe serve --admit {}",
                     net::to_hex(key->public_key()));
}

net::NodeOptions node_options(const LinkTestOptions& options) {
  return {.introduction = introduction(),
          .self = kAskerPlace,
          .key = options.key,
          .when_refused = when_refused(options.key),
          .connections = options.connections,
          .message_limit = ByteCount(wire::kMaxProbeBytes),
          .appear_timeout = options.timeout};
}

std::string server_role(const std::string& name) { return std::string(kServerRoles) + name; }

std::unique_ptr<net::Company> company_for(const LinkTestOptions& options) {
  if (!options.sought) return nullptr;
  std::map<std::string, std::optional<net::PublicKey>> roles;
  for (const std::string& name : options.others) roles.emplace(server_role(name), std::nullopt);
  if (!options.sought->name.empty()) {
    roles[server_role(options.sought->name)] = options.sought->key;
  }
  return std::make_unique<SoughtServers>(std::move(roles));
}

microseconds bounded_round_trip(Duration round_trip) {
  return std::min(duration_cast<microseconds>(round_trip), wire::kMaxProbeRoundTrip);
}

}  // namespace

std::string_view name_of(LimitedBy limit) {
  switch (limit) {
    case LimitedBy::nothing:
      return "nothing";
    case LimitedBy::bytes:
      return "bytes";
    case LimitedBy::time:
      return "time";
    case LimitedBy::rate:
      return "rate";
  }
  return "?";
}

LinkTest::LinkTest(LinkTestOptions options, Log& log, const Clock& clock)
    : options_(std::move(options)),
      clock_(clock),
      node_(node_options(options_), company_for(options_), log, clock) {
  node_.start();
  if (options_.sought) {
    node_.meet(options_.sought->meeting, std::string(kAskerRoles) + draw_name());
  } else {
    peer_ = net::WorkerId::at(*options_.endpoint);
    node_.seek(*peer_, *options_.endpoint, kServerPlace, options_.peer);
  }
}

std::optional<LinkFigures> LinkTest::measure() {
  try {
    return measure_all();
  } catch (const Stopped&) {
    return std::nullopt;
  }
}

bool LinkTest::idle_until(TimePoint end) {
  try {
    while (clock_.now() < end) turn(end - clock_.now());
  } catch (const Stopped&) {
    return false;
  }
  return true;
}

// ---- Several servers of a run.

std::string LinkTest::aimed_role() const { return server_role(options_.sought->name); }

void LinkTest::aim(const std::string& name, const Wishes& wishes) {
  options_.sought->name = name;
  options_.peer = fmt::format("server of probes called {}", name);
  options_.limits = wishes.limits;
  options_.to_peer = wishes.to_peer;
  options_.from_peer = wishes.from_peer;
  const auto met = met_.find(aimed_role());
  up_ = met != met_.end();
  peer_.reset();
  if (up_) peer_ = met->second;
  last_failure_.clear();
}

void LinkTest::give_up() {
  way_.reset();
  echoes_ = nullptr;
  if (up_ && reserved_) order(wire::ProbeRelease{});
  reserved_ = false;
  up_ = false;
  peer_.reset();
  if (options_.sought) options_.sought->name.clear();
}

// ---- A measurement.

LinkFigures LinkTest::measure_all() {
  connect();
  reserve();
  LinkFigures figures{.began = std::chrono::system_clock::now(), .path = {}, .idle = {}};
  settle(figures);
  figures.granted = granted_;
  const std::uint64_t changes = node_.traffic(*peer_).path_changes;
  if (options_.to_peer) figures.to_peer = measure_to_peer();
  if (options_.from_peer) figures.from_peer = measure_from_peer();
  const net::Traffic traffic = node_.traffic(*peer_);
  figures.path = traffic.path;
  figures.route = traffic.route;
  figures.path_changes = traffic.path_changes - changes;
  order(wire::ProbeRelease{});
  reserved_ = false;
  return figures;
}

// ---- Before a way.

void LinkTest::connect() {
  const TimePoint ends = clock_.now() + options_.timeout;
  while (!up_) {
    if (clock_.now() >= ends) throw not_there();
    turn(kMostPatience);
  }
}

Error LinkTest::not_there() const {
  if (options_.sought) {
    return Error(ErrorKind::unavailable,
                 fmt::format("the relays of the ticket lead to no {} within {:.0f} s{}",
                             options_.peer, seconds(options_.timeout),
                             last_failure_.empty() ? "" : " (" + last_failure_ + ")"),
                 "on that host: ptrain-probe serve --ticket FILE, with --name where it is to have "
                 "another name than its key");
  }
  return Error(ErrorKind::unavailable, fmt::format("{} did not answer within {:.0f} s",
                                                   options_.peer, seconds(options_.timeout)));
}

void LinkTest::reserve() {
  const TimePoint ends = clock_.now() + options_.timeout;
  while (true) {
    ++tests_;
    answer_.reset();
    order(wire::ProbeReserve{options_.limits});
    while (!answer_) {
      if (clock_.now() >= ends + kAnswerTime) {
        throw Error(ErrorKind::unavailable,
                    fmt::format("{} does not say whether it has time", options_.peer));
      }
      turn(kMostPatience);
    }
    if (const auto* granted = std::get_if<wire::ProbeGranted>(&*answer_)) {
      granted_ = lower_of(granted->limits, options_.limits);
      reserved_ = true;
      return;
    }
    const Duration at_most = std::get<wire::ProbeBusy>(*answer_).at_most;
    if (clock_.now() >= ends) {
      throw Error(ErrorKind::try_again,
                  fmt::format("{} measures with another, for {:.0f} s more at most", options_.peer,
                              seconds(at_most)),
                  "--timeout waits for longer");
    }
    options_.progress("waits for another's test to end");
    const TimePoint again = clock_.now() + kAskAgain;
    while (clock_.now() < again) turn(again - clock_.now());
  }
}

RoundTrips LinkTest::measure_idle() {
  ++tests_;
  EchoTrain echoes(echoes_asked_, kIdleInterval, kWarmUpEchoes);
  echoes_ = &echoes;
  const std::size_t counted =
      options_.coarse ? std::min(kCoarseEchoes, options_.idle_echoes) : options_.idle_echoes;
  const std::size_t wanted = kWarmUpEchoes + counted;
  for (std::size_t asked = 0; asked < wanted; ++asked) {
    while (!echoes.due(clock_.now())) turn(echoes.next_at() - clock_.now());
    ask_echo(echoes);
  }
  await_echoes(echoes);
  return *round_trips_of(echoes.measured());
}

// A session moves to a better path when that has proved itself; round trips are those of the path
// over which the rest is measured.
void LinkTest::settle(LinkFigures& figures) {
  for (int i = 0; i < kMostPaths; ++i) {
    const std::string before = node_.traffic(*peer_).path;
    options_.progress("round trips");
    figures.idle = measure_idle();
    if (node_.traffic(*peer_).path == before) break;
  }
  round_trip_ = figures.idle.least;
}

void LinkTest::ask_echo(EchoTrain& echoes) {
  const std::uint64_t number = echoes.ask(clock_.now());
  echoes_asked_ = number;
  order(wire::ProbeEcho{number});
}

void LinkTest::await_echoes(EchoTrain& echoes) {
  const TimePoint ends = clock_.now() + kAnswerTime;
  while (echoes.under_way() > 0) {
    if (clock_.now() >= ends) {
      throw Error(ErrorKind::unavailable,
                  fmt::format("{} owes {} echoes", options_.peer, echoes.under_way()));
    }
    turn(kMostPatience);
  }
  echoes_ = nullptr;
}

// ---- A way.

LinkTest::Way& LinkTest::begin_way(std::string_view what) {
  options_.progress(std::string(what));
  const TimePoint now = clock_.now();
  way_.emplace(Way{.test = ++tests_,
                   .begun = now,
                   .echoes = EchoTrain(echoes_asked_, kLoadedInterval),
                   .look_at = now + look_interval()});
  echoes_ = &way_->echoes;
  return *way_;
}

Duration LinkTest::look_interval() const { return options_.coarse ? kCoarseLook : kLook; }

// Whether more would bring nothing.
bool LinkTest::enough(Way& way) {
  const TimePoint now = clock_.now();
  if (way.echoes.due(now) && way.echoes.under_way() < kMostEchoesUnderWay) ask_echo(way.echoes);
  if (now < way.look_at) return false;
  way.look_at = now + look_interval();
  const auto& arrivals = way.arrivals.entries();
  if (!way.coarse) way.coarse = coarse_rate_of(arrivals, round_trip_);
  if (options_.coarse) return way.coarse.has_value();
  const auto rate = rate_of(arrivals, round_trip_);
  return rate && rate->steady;
}

WayFigures LinkTest::figures_of(Way& way, std::size_t arrivals) {
  await_echoes(way.echoes);
  const auto& all = way.arrivals.entries();
  const std::vector<Arrival> counted(all.begin(),
                                     all.begin() + static_cast<std::ptrdiff_t>(arrivals));
  WayFigures figures{.coarse_bytes_per_s = way.coarse,
                     .bytes = ByteCount(way.bytes),
                     .time = way.arrivals.last().since,
                     .loaded = round_trips_of(way.echoes.measured())};
  if (!figures.coarse_bytes_per_s) {
    figures.coarse_bytes_per_s = coarse_rate_of(all, round_trip_);
  }
  if (!options_.coarse) {
    figures.rate = rate_of(counted, round_trip_);
    // Where little was sent most of it arrives after the last was handed over.
    if (!figures.rate || figures.rate->bins < kFewestBins) figures.rate = rate_of(all, round_trip_);
  }
  const double rate =
      figures.rate ? figures.rate->bytes_per_s : figures.coarse_bytes_per_s.value_or(0);
  const auto limit = static_cast<double>(granted_.rate_bytes_per_s);
  if (limit > 0 && rate >= kNearLimit * limit) {
    figures.limited_by = LimitedBy::rate;
  } else if (figures.rate && !figures.rate->steady) {
    const bool spent = way.bytes + carried(1u << 10) >= granted_.bytes.value();
    figures.limited_by = spent ? LimitedBy::bytes : LimitedBy::time;
  }
  way_.reset();
  return figures;
}

WayFigures LinkTest::measure_to_peer() {
  Way& way = begin_way("to the peer");
  order(wire::ProbeReceive{granted_});
  // Bytes of bulk may overtake an order, which is control: its echo comes after the order was
  // obeyed.
  ask_echo(way.echoes);
  await_echoes(way.echoes);
  way.echoes = EchoTrain(echoes_asked_, kLoadedInterval);
  echoes_ = &way.echoes;
  way.begun = clock_.now();
  FlowSender sender(node_,
                    {.to = *peer_, .test = way.test, .limits = granted_, .round_trip = round_trip_},
                    way.begun);
  while (!sender.over()) {
    sender.pump(clock_.now());
    way.claims.sent(clock_.now(), sender.sent_bytes());
    if (enough(way)) sender.halt();
    turn(sender.patience(clock_.now()));
  }
  const std::size_t counted = way.arrivals.entries().size();
  const TimePoint ends = clock_.now() + kAnswerTime;
  while (way.bytes < sender.sent_bytes()) {
    if (clock_.now() >= ends) {
      throw Error(ErrorKind::unavailable,
                  fmt::format("{} says that {} bytes have arrived of {} that were sent",
                              options_.peer, way.bytes, sender.sent_bytes()));
    }
    turn(kMostPatience);
  }
  return figures_of(way, counted);
}

WayFigures LinkTest::measure_from_peer() {
  Way& way = begin_way("from the peer");
  order(wire::ProbeSend{.limits = granted_, .round_trip = bounded_round_trip(round_trip_)});
  std::optional<std::size_t> counted;
  const TimePoint ends = way.begun + granted_.time + kAnswerTime;
  while (!way.sent || way.bytes < *way.sent) {
    if (clock_.now() >= ends) {
      throw Error(ErrorKind::unavailable,
                  fmt::format("{} sent {} bytes, and does not end", options_.peer, way.bytes));
    }
    if (!counted && !way.sent && enough(way)) {
      order(wire::ProbeHalt{});
      counted = way.arrivals.entries().size();
    }
    if (!counted && way.sent) counted = way.arrivals.entries().size();
    turn(kCoarseLook);
  }
  return figures_of(way, counted.value_or(way.arrivals.entries().size()));
}

// ---- What comes.

void LinkTest::turn(Duration patience) {
  if (options_.stop()) throw Stopped{};
  auto event = node_.next(std::clamp(patience, Duration::zero(), kMostPatience));
  while (event) {
    take(std::move(*event));
    event = node_.next(Duration::zero());
    // What is to be sent, or looked at, has its turn.
    if (way_ && clock_.now() >= way_->look_at) {
      if (event) take(std::move(*event));
      return;
    }
  }
}

void LinkTest::take(net::NodeEvent event) {
  if (const auto* up = std::get_if<net::Up>(&event)) {
    if (!options_.others.empty()) {
      met_.insert_or_assign(up->peer.name, up->peer);
      if (up->peer.name != aimed_role()) return;
    }
    peer_ = up->peer;
    up_ = true;
  } else if (const auto* delivery = std::get_if<net::Delivery>(&event)) {
    if (peer_ && delivery->from == *peer_) take(*delivery);
  } else if (const auto* down = std::get_if<net::Down>(&event)) {
    if (!options_.others.empty()) {
      met_.erase(down->peer.name);
      if (down->peer.name != aimed_role()) return;
    }
    if (peer_ && down->peer != *peer_) return;
    // Whom relays have told of may be reached over another path yet.
    const bool may_come =
        options_.sought && !up_ && down->error && down->error->kind() == ErrorKind::unavailable;
    if (may_come) {
      last_failure_ = down->error->what();
      return;
    }
    if (down->error) throw *down->error;
    throw Error(ErrorKind::unavailable, options_.peer + " has ended");
  }
}

void LinkTest::take(const net::Delivery& delivery) {
  const std::uint64_t test = delivery.message.name.step.value();
  if (delivery.message.name.kind == wire::MessageKind::probe_bytes) {
    return take_bytes(test, delivery.message.payload.size());
  }
  const auto report = wire::read_probe_report(delivery.message);
  if (const auto* malformed = std::get_if<wire::Malformed>(&report)) lies(malformed->why);
  take(test, std::get<wire::ProbeReport>(report));
}

void LinkTest::take(std::uint64_t test, const wire::ProbeReport& report) {
  if (const auto* echo = std::get_if<wire::ProbeEcho>(&report)) {
    if (echoes_ == nullptr) lies("an echo that was not asked for");
    if (const auto flaw = echoes_->answered(echo->number, clock_.now())) lies(*flaw);
  } else if (const auto* arrived = std::get_if<wire::ProbeArrived>(&report)) {
    take_arrived(test, *arrived);
  } else if (const auto* sent = std::get_if<wire::ProbeSent>(&report)) {
    take_sent(test, *sent);
  } else if (std::holds_alternative<wire::ProbeMeasured>(report)) {
    lies("it reports on an errand that nobody ordered");
  } else {
    answer_ = report;
  }
}

void LinkTest::take_arrived(std::uint64_t test, const wire::ProbeArrived& arrived) {
  if (!way_ || way_->test != test) lies("it counts bytes of a test that there is not");
  Way& way = *way_;
  if (const auto flaw = way.claims.flaw_of(arrived, clock_.now())) lies(*flaw);
  way.bytes = arrived.bytes.value();
  way.arrivals.add({arrived.since, way.bytes});
}

void LinkTest::take_sent(std::uint64_t test, const wire::ProbeSent& sent) {
  if (!way_ || way_->test != test) lies("it ends a test that there is not");
  if (sent.bytes.value() < way_->bytes) {
    lies(fmt::format("it claims to have sent {} bytes, and {} came", sent.bytes.value(),
                     way_->bytes));
  }
  if (sent.bytes > granted_.bytes) {
    lies(fmt::format("it claims to have sent {} bytes, {} were wanted", sent.bytes.value(),
                     granted_.bytes.value()));
  }
  way_->sent = sent.bytes.value();
}

void LinkTest::take_bytes(std::uint64_t test, std::uint64_t payload_bytes) {
  if (!way_ || way_->test != test) lies("it sends bytes of a test that there is not");
  Way& way = *way_;
  const TimePoint now = clock_.now();
  if (!way.first) way.first = now;
  way.bytes += carried(payload_bytes);
  way.arrivals.add({now - *way.first, way.bytes});
  const std::uint64_t most = way.sent.value_or(granted_.bytes.value());
  if (way.bytes > most) {
    lies(fmt::format("it sends {} bytes, at most {} were to come", way.bytes, most));
  }
}

void LinkTest::order(const wire::ProbeOrder& order) {
  node_.send(*peer_, wire::Urgency::control, wire::probe_order_message(tests_, order));
}

void LinkTest::lies(const std::string& how) const {
  throw Error(ErrorKind::corrupt, fmt::format("{}: {}", options_.peer, how),
              "its figures are not to be believed: is it ptrain-probe serve of this release?");
}

}  // namespace ptrain::probe
