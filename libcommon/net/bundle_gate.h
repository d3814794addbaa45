// Bundles, the side that accepts: stands between those who accept connections and the sink of
// paths. Connections that say that they belong together are passed on as one path, others as
// they are.
//
// Who may come in has been decided before: a strand is a connection of an admitted peer. Of one
// peer and channel one bundle at a time is waited for. Network thread only.

#pragma once

#include <map>
#include <memory>
#include <vector>

#include "libcommon/net/bundle.h"
#include "libcommon/net/path.h"

namespace ptrain::net {

// How long the connections of a bundle wait for each other here: longer than where they are made.
inline constexpr Duration kGateTime = std::chrono::seconds(5);

class BundleGate final : public PathSink {
 public:
  // `sink` outlives the object.
  explicit BundleGate(PathSink& sink) : sink_(sink) {}

  // Closes what has waited in vain; what take_discarded() says is to be closed where it was made.
  void tick(TimePoint now);
  TimePoint next_tick() const;
  std::vector<PathId> take_discarded();
  // Peers of whom nothing but connections that waited in vain was there.
  std::vector<PeerHandle> take_abandoned();
  // The connections of a bundle, which is no more from then on; none where `id` is no bundle.
  std::vector<PathId> close(PathId id);

  PathId next_path_id() override { return sink_.next_path_id(); }
  void path_opened(Path& path, PeerHandle peer, wire::Channel channel) override;
  void path_lost(PathId id) override;
  void arrived(PathId id, Arrival arrival) override;
  void attempt_failed(PeerHandle peer, const std::string& why, ErrorKind kind,
                      bool permanent) override {
    sink_.attempt_failed(peer, why, kind, permanent);
  }
  void refused(const std::string& why) override { sink_.refused(why); }

 private:
  // Over one route at a time: two relays bring two bundles.
  struct Place {
    PeerHandle peer;
    wire::Channel channel;
    Route route;
    auto operator<=>(const Place&) const = default;
  };
  struct Gathering {
    std::uint64_t bundle = 0;
    std::vector<Connection> strands;  // by number; no path where it has not come
    TimePoint since;
    std::optional<Arrival> hello{};  // of one of them
    PathId hello_from{};
  };

  void discard(const Place& place, const Gathering& gathering);
  bool complete(const Gathering& gathering) const;
  void open(const Place& place, Gathering gathering);
  void break_up(Bundle& bundle);
  std::map<Place, Gathering>::iterator gathering_of(PathId strand);

  PathSink& sink_;
  TimePoint now_{};
  std::map<Place, Gathering> gatherings_;
  std::map<PathId, std::unique_ptr<Bundle>> bundles_;
  std::map<PathId, Bundle*> strands_;  // of bundles
  std::vector<PathId> discarded_;
  std::vector<PeerHandle> abandoned_;
};

}  // namespace ptrain::net
