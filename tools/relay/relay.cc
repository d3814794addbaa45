#include "tools/relay/relay.h"

#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

#include "libcommon/base/error.h"
#include "libcommon/net/zmq/zmq_parts.h"
#include "tools/relay/control/moment.h"
#include "tools/relay/control/state_file.h"

namespace ptrain::relay {

namespace {

// With everyone that the state file knows, and whose lease has not expired.
Registry known_registry(const RelayOptions& options, os::Storage& storage, Log& log,
                        TimePoint now) {
  const bool had_state = options.state && storage.status(*options.state / kStateName);
  const auto saved = options.state ? load_state(*options.state, storage, log) : std::nullopt;
  const Moment moment = this_moment();
  // Above every version of an earlier process, even if the clock was set back since.
  const auto since_1970 = static_cast<std::uint64_t>(moment.wall / std::chrono::microseconds(1));
  Registry registry(options.limits, std::max(since_1970, saved ? saved->highest_version + 1 : 0));
  if (saved) restore(*saved, moment, now, registry);
  // Above every number that an earlier process granted, too. What one granted that was killed may
  // not be in the file.
  const auto floor = static_cast<std::uint64_t>(moment.wall / std::chrono::milliseconds(1));
  const bool ended_well = !had_state || (saved && saved->closed);
  const TimePoint boot(moment.boot);
  registry.claims().begin(std::max(floor, saved ? saved->claim_floor : 0),
                          ended_well ? boot : boot + options.limits.lease, boot);
  return registry;
}

// A member that renews in time keeps its connection, however long the lease.
ConnectionLimits with_lease(ConnectionLimits limits, Duration lease) {
  limits.useful_request = std::max(limits.useful_request, lease);
  return limits;
}

RelayEvent event_of(const NeighbourState& neighbour) {
  RelayEvent event(
      neighbour.connected ? RelayEvent::Kind::neighbour_came : RelayEvent::Kind::neighbour_went, {},
      {.peer_key = neighbour.key, .role = {}});
  event.host = neighbour.name;
  return event;
}

}  // namespace

Relay::Relay(RelayOptions options, TokenDesk& desk, os::Storage& storage, Log& log,
             const Clock& clock)
    : options_(std::move(options)),
      desk_(desk),
      log_(log),
      clock_(clock),
      rules_(options_.read_access()),
      registry_(known_registry(options_, storage, log, clock.now())),
      neighbourhood_(
          {.key = options_.key,
           .observer = [this](const NeighbourState& state) { options_.observer(event_of(state)); }},
          registry_, rules_, log, clock.now()),
      handler_({.relay_key = options_.key.public_key(),
                .observer = options_.observer,
                .traffic_of = options_.traffic_of,
                .forward_to =
                    [this](const net::PublicKey& neighbour, std::uint64_t number,
                           const net::request::Forward& message) {
                      return neighbourhood_.forward(neighbour, number, message);
                    },
                .neighbours = [this] { return neighbourhood_.states(); }},
               registry_, desk, rules_, clock.now()),
      port_({.listen = options_.listen,
             .key = options_.key,
             .connections = with_lease(options_.connections, options_.limits.lease)},
            rules_, handler_, log, clock) {
  handler_.enforce();  // the rules may have changed since the registry was saved
  if (options_.state) {
    keeper_ = std::make_unique<StateKeeper>(*options_.state / kStateName, registry_, storage, log,
                                            clock.now());
  }
}

void Relay::run(const std::function<bool()>& stop, const std::function<bool()>& reload) {
  while (!stop()) {
    wait();
    if (reload()) reload_rules();
    port_.process();
    port_.send(handler_.replace_spent(clock_.now()));
    port_.send(handler_.expire(clock_.now()));
    propagate(neighbourhood_.process(clock_.now()));
    port_.send(handler_.answer_mirrors(clock_.now()));
    if (keeper_) keeper_->tick(clock_.now());
    options_.figures(figures());
  }
  port_.set_linger(kFarewellLinger);
  port_.send(handler_.farewell());
}

void Relay::propagate(const MirrorNews& news) {
  port_.send(handler_.propagate(news.revocations));
  port_.send(handler_.propagate(news.changes, news.departures));
  for (const ForwardOutcome& outcome : news.outcomes) {
    port_.send(handler_.forwarded(outcome.forward, outcome.delivery));
  }
}

void Relay::wait() {
  std::vector<net::PollItem> items{{.fd = desk_.spent_fd()}};
  port_.add_poll_items(items);
  neighbourhood_.add_poll_items(items);
  if (net::poll(items, kTick) < 0 && errno != EINTR) throw io_error("wait for requests", errno);
}

ControlFigures Relay::figures() const {
  return {.totals = handler_.totals(),
          .members = registry_.members(),
          .runs = registry_.runs(),
          .connections = port_.connections().connections(),
          .waiting_connections = port_.connections().waiting(),
          .cut_connections = port_.connections().totals().cut,
          .dropped_answers = port_.dropped(),
          .members_elsewhere = registry_.reflections(),
          .neighbours = rules_.neighbours.size(),
          .neighbours_connected = neighbourhood_.connected()};
}

void Relay::reload_rules() {
  try {
    rules_ = options_.read_access();
  } catch (const Error& error) {
    return log_.warning(std::string("the rules stay as they were: ") + error.what());
  }
  log_.info("the rules were read again");
  port_.send(handler_.enforce());
  propagate(neighbourhood_.apply_rules(clock_.now()));
}

}  // namespace ptrain::relay
