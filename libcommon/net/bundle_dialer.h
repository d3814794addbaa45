// Bundles, the side that connects: several sources of connections to one peer for one channel
// are one source of paths.
//
// A bundle begins when every source has a connection, or, where some cannot get one, with those
// that there are after a while. When one of its connections breaks it is lost as a whole, and
// all dial again. Network thread only.

#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "libcommon/base/random_source.h"
#include "libcommon/net/bundle.h"
#include "libcommon/net/path.h"

namespace ptrain::net {

// How long the first connection waits for the others.
inline constexpr Duration kGatherTime = std::chrono::seconds(2);

class BundleDialer final : public PathSource, private PathSink {
 public:
  // `strands`: at least one; all of the same peer, channel and route. `random` outlives the
  // object.
  BundleDialer(std::vector<std::unique_ptr<PathSource>> strands, RandomSource& random);
  ~BundleDialer() override;

  void add_poll_items(std::vector<zmq_pollitem_t>& items) override;
  void process(PathSink& sink, TimePoint now) override;
  TimePoint next_tick() const override;
  void close(PathId id, TimePoint now) override;

 private:
  Bundle* bundle_of(PathId strand);
  void gather(TimePoint now);
  void open_bundle();
  void drop(PathId bundle, TimePoint now);
  void drop_broken(TimePoint now);

  // What the strands report.
  PathId next_path_id() override { return outer_->next_path_id(); }
  void path_opened(Path& path, PeerHandle peer, wire::Channel channel) override;
  void path_lost(PathId id) override;
  void arrived(PathId id, Arrival arrival) override;
  void attempt_failed(PeerHandle peer, const std::string& why, ErrorKind kind,
                      bool permanent) override {
    outer_->attempt_failed(peer, why, kind, permanent);
  }
  void host_answered(PeerHandle peer) override { outer_->host_answered(peer); }
  void refused(const std::string& why) override { outer_->refused(why); }

  std::vector<std::unique_ptr<PathSource>> sources_;
  RandomSource& random_;
  PeerHandle peer_{};
  wire::Channel channel_ = wire::Channel::bulk;
  std::vector<Connection> gathered_;  // those that belong to no bundle yet
  std::optional<TimePoint> gathering_since_;
  std::vector<std::unique_ptr<Bundle>> bundles_;
  std::vector<PathId> broken_;  // bundles that are lost, not reported yet
  PathSink* outer_ = nullptr;   // during process()
};

// A source of paths that are `connections` connections each, which `make` makes one by one.
template <typename Make>
std::unique_ptr<PathSource> bundled(std::uint8_t connections, RandomSource& random, Make make) {
  if (connections <= 1) return make();
  std::vector<std::unique_ptr<PathSource>> strands;
  for (std::uint8_t i = 0; i < connections; ++i) strands.push_back(make());
  return std::make_unique<BundleDialer>(std::move(strands), random);
}

}  // namespace ptrain::net
