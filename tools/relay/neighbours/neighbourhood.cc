#include "tools/relay/neighbours/neighbourhood.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace ptrain::relay {
namespace {

std::string name_of(const net::TicketRelay& relay) {
  return fmt::format("{}:{}", relay.control.host, relay.control.port);
}

NeighbourState state_of(const NeighbourLink& link) {
  return {.key = *link.neighbour().control.key,
          .name = name_of(link.neighbour()),
          .connected = link.mirror().following(),
          .members = link.mirror().members(),
          .trouble = link.trouble()};
}

}  // namespace

Neighbourhood::Neighbourhood(NeighbourhoodOptions options, Registry& registry,
                             const AccessRules& rules, Log& log, TimePoint now)
    : options_(std::move(options)), registry_(registry), rules_(rules), log_(log) {
  meet(now);
}

void Neighbourhood::meet(TimePoint now) {
  for (const net::TicketRelay& relay : rules_.neighbours) {
    const net::PublicKey& key = *relay.control.key;
    if (neighbours_.contains(key)) continue;
    neighbours_[key].link = std::make_unique<NeighbourLink>(context_, relay, options_.key,
                                                            Mirror(key, registry_, rules_, now));
  }
}

MirrorNews Neighbourhood::apply_rules(TimePoint now) {
  MirrorNews news;
  for (auto entry = neighbours_.begin(); entry != neighbours_.end();) {
    NeighbourLink& link = *entry->second.link;
    if (std::ranges::find(rules_.neighbours, link.neighbour()) != rules_.neighbours.end()) {
      link.mirror().apply_rules(news);
      ++entry;
    } else {
      link.mirror().dissolve(news);
      report(entry->second);
      entry = neighbours_.erase(entry);
    }
  }
  meet(now);
  return news;
}

void Neighbourhood::add_poll_items(std::vector<net::PollItem>& items) {
  for (auto& [key, neighbour] : neighbours_) neighbour.link->add_poll_items(items);
}

MirrorNews Neighbourhood::process(TimePoint now) {
  MirrorNews news;
  for (auto& [key, neighbour] : neighbours_) {
    neighbour.link->process(now, news);
    report(neighbour);
  }
  return news;
}

bool Neighbourhood::forward(const net::PublicKey& neighbour, std::uint64_t id,
                            net::request::Forward body) {
  const auto found = neighbours_.find(neighbour);
  return found != neighbours_.end() && found->second.link->mirror().forward(id, std::move(body));
}

void Neighbourhood::report(Neighbour& neighbour) {
  const NeighbourState state = state_of(*neighbour.link);
  if (std::exchange(neighbour.was_following, state.connected) != state.connected) {
    if (state.connected) log_.info(fmt::format("neighbour {} tells of its members", state.name));
    options_.observer(state);
  }
  if (neighbour.reported != state.trouble) {
    neighbour.reported = state.trouble;
    if (!state.trouble.empty()) {
      log_.warning(fmt::format("neighbour {}: {}", state.name, state.trouble));
    }
  }
  const Mirror& mirror = neighbour.link->mirror();
  if (mirror.forged() > 0 && std::exchange(neighbour.reported_forged, mirror.forged()) == 0) {
    log_.warning(fmt::format("neighbour {} told of a member whose record is not signed by its run",
                             state.name));
  }
  const bool left_out = mirror.left_out() > 0;
  if (left_out && !neighbour.reported_left_out) {
    log_.warning(fmt::format("neighbour {} has more members than the {} of --max-peers", state.name,
                             registry_.limits().members));
  }
  neighbour.reported_left_out = left_out;
}

std::size_t Neighbourhood::connected() const {
  return static_cast<std::size_t>(std::ranges::count_if(
      neighbours_, [](const auto& entry) { return entry.second.link->mirror().following(); }));
}

std::vector<NeighbourState> Neighbourhood::states() const {
  std::vector<NeighbourState> states;
  for (const auto& [key, neighbour] : neighbours_) states.push_back(state_of(*neighbour.link));
  return states;
}

}  // namespace ptrain::relay
