#include "libcommon/probe/matrix_run.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <variant>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/net/seeker_admission.h"
#include "libcommon/probe/errand_runner.h"
#include "libcommon/probe/probing.h"
#include "libcommon/probe/sought_servers.h"

namespace ptrain::probe {
namespace {

constexpr Duration kTurn = std::chrono::milliseconds(100);
constexpr Duration kAskBusyAgain = std::chrono::milliseconds(150);
// Of a test, beside its ways: round trips of an idle link, orders, and what drains.
constexpr Duration kBesideWays = std::chrono::milliseconds(1200);

net::NodeOptions node_options(const MatrixOptions& options) {
  return {.introduction = introduction(),
          .self = kAskerPlace,
          .key = options.key,
          .message_limit = ByteCount(wire::kMaxProbeBytes)};
}

std::unique_ptr<net::Company> company_for(const MatrixOptions& options) {
  if (options.names.empty()) {
    return std::make_unique<net::SeekerAdmission>(std::string(kServerRoles), net::PeerHandle(0),
                                                  kMostMatrixHosts);
  }
  std::map<std::string, std::optional<net::PublicKey>> roles;
  for (const std::string& name : options.names) {
    roles.emplace(std::string(kServerRoles) + name, std::nullopt);
  }
  return std::make_unique<SoughtServers>(std::move(roles));
}

std::string name_of_server(const net::WorkerId& peer) {
  const std::string& role = peer.name;
  return role.starts_with(kServerRoles) ? role.substr(kServerRoles.size()) : role;
}

// "tcp://10.0.0.2" of "tcp://10.0.0.2:7300"; empty of a path through a relay, which says nothing.
std::string host_on(const std::string& path) {
  if (!path.starts_with("tcp://")) return "";
  return path.substr(0, path.rfind(':'));
}

WallClockTime wall_clock() { return std::chrono::system_clock::now(); }

}  // namespace

MatrixRun::MatrixRun(MatrixOptions options, Log& log, const Clock& clock)
    : options_(std::move(options)),
      clock_(clock),
      node_(node_options(options_), company_for(options_), log, clock) {
  std::ranges::sort(options_.names);
  auto& names = options_.names;
  names.erase(std::unique(names.begin(), names.end()), names.end());
  node_.start();
  node_.meet(options_.meeting, std::string(kAskerRoles) + draw_name());
}

std::optional<LinkMatrix> MatrixRun::measure() {
  try {
    find();
    name_hosts();
    options_.announce(cost());
    make_acquainted();
    measure_pairs();
    measure_together();
  } catch (const Stopped&) {
    return std::nullopt;
  }
  matrix_.ended = wall_clock();
  return matrix_;
}

// ---- Who is there.

bool MatrixRun::all_found() const {
  if (!options_.names.empty()) return met_.size() == options_.names.size();
  return met_.size() >= 2 && clock_.now() - last_found_ >= kNobodyElse;
}

void MatrixRun::find() {
  const TimePoint ends = clock_.now() + options_.timeout;
  last_found_ = clock_.now();
  while (!all_found() && clock_.now() < ends) {
    options_.progress(fmt::format("{} hosts found", met_.size()));
    turn(kTurn);
  }
  if (met_.size() >= 2) return;
  throw Error(ErrorKind::unavailable,
              fmt::format("the relays of the ticket lead to {} of the servers of probes within "
                          "{:.0f} s, and a matrix needs two",
                          met_.empty() ? "none" : "one", seconds(options_.timeout)),
              "on each host: ptrain-probe serve --ticket FILE, with --name");
}

void MatrixRun::name_hosts() {
  std::vector<std::string> names = options_.names;
  if (names.empty()) {
    for (const auto& [name, id] : met_) names.push_back(name);
  }
  std::map<std::string, std::uint32_t> numbers;  // of hosts, by where they are dialled
  std::vector<std::uint32_t> hosts;
  for (const std::string& name : names) {
    const auto met = met_.find(name);
    const bool absent = met == met_.end();
    matrix_.hosts.push_back(
        {.name = name,
         .failed =
             absent ? fmt::format("no answer within {:.0f} s", seconds(options_.timeout)) : ""});
    known_.push_back({.id = absent ? net::WorkerId{} : met->second, .lost = absent});
    std::string host = absent ? "" : host_on(node_.traffic(met->second).path);
    if (host.empty()) host = "named " + name;
    const auto number = static_cast<std::uint32_t>(numbers.size());
    hosts.push_back(numbers.emplace(host, number).first->second);
  }
  schedule_.emplace(std::move(hosts));
  for (std::size_t i = 0; i < known_.size(); ++i) {
    if (known_[i].lost) lose(i, matrix_.hosts[i].failed);
  }
}

MatrixCost MatrixRun::cost() const {
  const std::size_t n = known_.size();
  const std::uint64_t each = options_.limits.bytes.value();
  const Duration test = 2 * options_.limits.time + kBesideWays;
  const auto rounds = static_cast<Duration::rep>(schedule_->rounds());
  return {.hosts = n,
          .edges = n * (n - 1),
          .bytes = (n * (n - 1) + (n > 2 ? n : 0)) * each,
          .time = kMatrixSettles + rounds * test + (n > 2 ? test : Duration::zero())};
}

// Each gets to know those after it, whom it will be sent to; the last, for the ring, the first.
void MatrixRun::make_acquainted() {
  for (std::size_t i = 0; i < known_.size(); ++i) {
    if (known_[i].lost) continue;
    wire::ProbeSeek seek;
    for (std::size_t j = i + 1; j < known_.size(); ++j) seek.names.push_back(matrix_.hosts[j].name);
    if (seek.names.empty() && known_.size() > 2) seek.names.push_back(matrix_.hosts[0].name);
    node_.send(known_[i].id, wire::Urgency::control, wire::probe_order_message(++numbers_, seek));
  }
  options_.progress("the hosts get to know one another");
  idle(kMatrixSettles);
}

// ---- Errands.

void MatrixRun::measure_pairs() {
  const std::size_t all = schedule_->left();
  finished_ = [this](const Running& running, const wire::ProbeMeasured& measured) {
    matrix_.take(running.pair.first, running.pair.second, measured, wall_clock());
    schedule_->done(running.pair);
  };
  while (schedule_->left() > 0) {
    for (const Pair& pair : schedule_->due()) {
      begin(pair, {.to = matrix_.hosts[pair.second].name, .limits = options_.limits});
    }
    options_.progress(
        fmt::format("{} of {} pairs, {} at work", all - schedule_->left(), all, running_.size()));
    turn(kTurn);
    look_after_errands();
  }
}

void MatrixRun::measure_together() {
  const auto ring = ring_of(matrix_);
  finished_ = [this](const Running& running, const wire::ProbeMeasured& measured) {
    const auto edge = matrix_.edges.find({running.pair.first, running.pair.second});
    if (edge == matrix_.edges.end() || !measured.failure.empty()) return;
    const double rate = measured.to_peer.rate > 0 ? measured.to_peer.rate : measured.to_peer.coarse;
    if (rate > 0) edge->second.busy_bytes_per_s = rate;
  };
  for (const auto& [from, to] : ring) {
    if (known_[from].lost || known_[to].lost) continue;
    begin({from, to}, {.to = matrix_.hosts[to].name,
                       .limits = options_.limits,
                       .from_peer = false,
                       .beside = true});
  }
  while (!running_.empty()) {
    options_.progress("all at once");
    turn(kTurn);
    look_after_errands();
  }
}

void MatrixRun::begin(const Pair& pair, wire::ProbeErrand errand) {
  const TimePoint now = clock_.now();
  running_.push_back(
      {.pair = pair, .errand = std::move(errand), .ends = {}, .until = now + options_.timeout});
  order(running_.back());
}

void MatrixRun::order(Running& running) {
  running.number = ++numbers_;
  running.again.reset();
  running.ends = clock_.now() + 2 * running.errand.limits.time + kErrandBesides + kErrandReport;
  node_.send(known_[running.pair.first].id, wire::Urgency::control,
             wire::probe_order_message(running.number, running.errand));
}

void MatrixRun::look_after_errands() {
  const TimePoint now = clock_.now();
  for (std::size_t i = running_.size(); i-- > 0;) {
    Running& running = running_[i];
    const std::string& asker = matrix_.hosts[running.pair.first].name;
    if (known_[running.pair.first].lost) {
      finish(i, failed(fmt::format("{} was lost", asker)));
    } else if (now >= running.ends) {
      finish(i, failed(fmt::format("{} says nothing of its errand", asker)));
    } else if (running.again && now >= *running.again) {
      order(running);
    }
  }
}

void MatrixRun::finish(std::size_t index, const wire::ProbeMeasured& measured) {
  const Running running = std::move(running_[index]);
  running_.erase(running_.begin() + static_cast<std::ptrdiff_t>(index));
  finished_(running, measured);
}

// ---- What comes.

void MatrixRun::turn(Duration patience) {
  if (options_.stop()) throw Stopped{};
  auto event = node_.next(patience);
  while (event) {
    take(std::move(*event));
    event = node_.next(Duration::zero());
  }
}

void MatrixRun::idle(Duration time) {
  const TimePoint ends = clock_.now() + time;
  while (clock_.now() < ends) turn(std::min(kTurn, ends - clock_.now()));
}

std::optional<std::size_t> MatrixRun::host_of(const net::WorkerId& peer) const {
  const auto found = std::ranges::find(known_, peer, &Known::id);
  if (found == known_.end()) return std::nullopt;
  return static_cast<std::size_t>(found - known_.begin());
}

void MatrixRun::take(net::NodeEvent event) {
  if (const auto* up = std::get_if<net::Up>(&event)) {
    if (!known_.empty()) return;  // too late for this matrix
    met_.insert_or_assign(name_of_server(up->peer), up->peer);
    last_found_ = clock_.now();
  } else if (const auto* delivery = std::get_if<net::Delivery>(&event)) {
    take(*delivery);
  } else if (const auto* down = std::get_if<net::Down>(&event)) {
    met_.erase(name_of_server(down->peer));
    const auto host = host_of(down->peer);
    if (host) lose(*host, down->error ? down->error->what() : "it has ended");
  }
}

void MatrixRun::lose(std::size_t host, const std::string& why) {
  known_[host].lost = true;
  if (matrix_.hosts[host].failed.empty()) matrix_.hosts[host].failed = why;
  for (const auto& [a, b] : schedule_->drop(host)) {
    matrix_.fail(a, b, fmt::format("{}: {}", matrix_.hosts[host].name, why), wall_clock());
  }
}

void MatrixRun::take(const net::Delivery& delivery) {
  const auto host = host_of(delivery.from);
  if (!host) return;
  const auto report = wire::read_probe_report(delivery.message);
  const auto* told = std::get_if<wire::ProbeReport>(&report);
  const auto* measured = told == nullptr ? nullptr : std::get_if<wire::ProbeMeasured>(told);
  if (measured != nullptr) return take(*host, delivery.message.name.step.value(), *measured);
  const auto* malformed = std::get_if<wire::Malformed>(&report);
  const std::string why =
      malformed == nullptr ? "it reports what it was not asked for" : malformed->why;
  node_.drop(known_[*host].id);
  lose(*host, why);
}

void MatrixRun::take(std::size_t host, std::uint64_t number, const wire::ProbeMeasured& measured) {
  for (std::size_t i = 0; i < running_.size(); ++i) {
    Running& running = running_[i];
    if (running.number != number || running.pair.first != host) continue;
    if (measured.busy && clock_.now() < running.until) {
      running.again = clock_.now() + kAskBusyAgain;
      return;
    }
    return finish(i, measured);
  }
}

}  // namespace ptrain::probe
