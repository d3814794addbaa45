#include "libcommon/net/bundle_gate.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace ptrain::net {

void BundleGate::tick(TimePoint now) {
  now_ = now;
  std::erase_if(gatherings_, [&](const auto& entry) {
    if (now - entry.second.since < kGateTime) return false;
    discard(entry.first, entry.second);
    return true;
  });
}

TimePoint BundleGate::next_tick() const {
  TimePoint next = TimePoint::max();
  for (const auto& [place, gathering] : gatherings_) {
    next = std::min(next, gathering.since + kGateTime);
  }
  return next;
}

std::vector<PathId> BundleGate::take_discarded() { return std::exchange(discarded_, {}); }

std::vector<PathId> BundleGate::close(PathId id) {
  const auto found = bundles_.find(id);
  if (found == bundles_.end()) return {};
  const std::vector<PathId> strands = found->second->strand_ids();
  for (const PathId strand : strands) strands_.erase(strand);
  bundles_.erase(found);
  return strands;
}

std::vector<PeerHandle> BundleGate::take_abandoned() {
  std::vector<PeerHandle> abandoned = std::exchange(abandoned_, {});
  std::erase_if(abandoned, [&](PeerHandle peer) {
    return std::ranges::any_of(gatherings_,
                               [peer](const auto& entry) { return entry.first.peer == peer; });
  });
  return abandoned;
}

void BundleGate::discard(const Place& place, const Gathering& gathering) {
  abandoned_.push_back(place.peer);
  for (const Connection& strand : gathering.strands) {
    if (strand.path != nullptr) discarded_.push_back(strand.id);
  }
}

bool BundleGate::complete(const Gathering& gathering) const {
  return gathering.hello && std::ranges::all_of(gathering.strands, [](const Connection& s) {
           return s.path != nullptr;
         });
}

std::map<BundleGate::Place, BundleGate::Gathering>::iterator BundleGate::gathering_of(
    PathId strand) {
  return std::ranges::find_if(gatherings_, [strand](const auto& entry) {
    return std::ranges::any_of(entry.second.strands, [strand](const Connection& each) {
      return each.path != nullptr && each.id == strand;
    });
  });
}

void BundleGate::path_opened(Path& path, PeerHandle peer, wire::Channel channel) {
  const wire::Strand strand = path.strand();
  if (strand.count == 0) return sink_.path_opened(path, peer, channel);
  const Place at{peer, channel, path.route()};
  Gathering& gathering = gatherings_[at];
  if (gathering.bundle != strand.bundle || gathering.strands.size() != strand.count) {
    discard(at, gathering);  // who dials has given that one up
    gathering = {
        .bundle = strand.bundle, .strands = std::vector<Connection>(strand.count), .since = now_};
  }
  Connection& place = gathering.strands[strand.number];
  if (place.path != nullptr) {
    refused(fmt::format("{}: connection {} of a bundle came twice", path.name(), strand.number));
    discarded_.push_back(path.id());
    return;
  }
  place = {.id = path.id(), .path = &path};
}

void BundleGate::path_lost(PathId id) {
  if (const auto found = strands_.find(id); found != strands_.end()) {
    return break_up(*found->second);
  }
  const auto gathering = gathering_of(id);
  if (gathering == gatherings_.end()) return sink_.path_lost(id);
  discard(gathering->first, gathering->second);
  gatherings_.erase(gathering);
}

void BundleGate::arrived(PathId id, Arrival arrival) {
  if (const auto found = strands_.find(id); found != strands_.end()) {
    Bundle& bundle = *found->second;
    if (const auto flaw = bundle.take(id, std::move(arrival), sink_)) {
      refused(fmt::format("{}: {}", bundle.name(), *flaw));
      break_up(bundle);
    }
    return;
  }
  const auto found = gathering_of(id);
  if (found == gatherings_.end()) return sink_.arrived(id, std::move(arrival));
  // Until it is answered, a peer says nothing but hello.
  Gathering& gathering = found->second;
  if (!gathering.hello && std::holds_alternative<wire::Hello>(arrival.frame)) {
    gathering.hello = std::move(arrival);
    gathering.hello_from = id;
  }
  if (!complete(gathering)) return;
  const Place place = found->first;
  open(place, std::move(gatherings_.extract(found).mapped()));
}

void BundleGate::open(const Place& place, Gathering gathering) {
  const PathId id = sink_.next_path_id();
  Bundle& bundle =
      *bundles_.emplace(id, std::make_unique<Bundle>(id, gathering.bundle, gathering.strands))
           .first->second;
  for (const Connection& strand : gathering.strands) strands_[strand.id] = &bundle;
  sink_.path_opened(bundle, place.peer, place.channel);
  if (bundle.take(gathering.hello_from, std::move(*gathering.hello), sink_)) break_up(bundle);
}

void BundleGate::break_up(Bundle& bundle) {
  const PathId id = bundle.id();
  for (const PathId strand : close(id)) discarded_.push_back(strand);
  sink_.path_lost(id);
}

}  // namespace ptrain::net
