#include "libcommon/net/bundle_dialer.h"

#include <algorithm>
#include <bit>
#include <utility>

#include <fmt/format.h>

namespace ptrain::net {

BundleDialer::BundleDialer(std::vector<std::unique_ptr<PathSource>> strands, RandomSource& random)
    : sources_(std::move(strands)), random_(random) {}

BundleDialer::~BundleDialer() = default;

void BundleDialer::add_poll_items(std::vector<zmq_pollitem_t>& items) {
  for (auto& source : sources_) source->add_poll_items(items);
}

TimePoint BundleDialer::next_tick() const {
  TimePoint next = gathering_since_ ? *gathering_since_ + kGatherTime : TimePoint::max();
  for (const auto& source : sources_) next = std::min(next, source->next_tick());
  return next;
}

void BundleDialer::process(PathSink& sink, TimePoint now) {
  outer_ = &sink;
  for (auto& source : sources_) source->process(*this, now);
  drop_broken(now);
  gather(now);
  outer_ = nullptr;
}

Bundle* BundleDialer::bundle_of(PathId strand) {
  for (auto& bundle : bundles_) {
    if (bundle->contains(strand)) return bundle.get();
  }
  return nullptr;
}

// A bundle of some is better than none, and no better than one that is there.
void BundleDialer::gather(TimePoint now) {
  if (gathered_.empty()) return gathering_since_.reset();
  if (!gathering_since_) gathering_since_ = now;
  const bool all = gathered_.size() >= sources_.size();
  if (all || (bundles_.empty() && now - *gathering_since_ >= kGatherTime)) return open_bundle();
  if (!bundles_.empty()) gathering_since_.reset();
}

void BundleDialer::open_bundle() {
  const auto number = std::bit_cast<std::uint64_t>(random_.bytes<sizeof(std::uint64_t)>());
  bundles_.push_back(std::make_unique<Bundle>(outer_->next_path_id(), number, gathered_));
  gathered_.clear();
  gathering_since_.reset();
  outer_->path_opened(*bundles_.back(), peer_, channel_);
}

void BundleDialer::drop(PathId bundle, TimePoint now) {
  const auto found =
      std::ranges::find(bundles_, bundle, [](const auto& each) { return each->id(); });
  if (found == bundles_.end()) return;
  for (const PathId strand : (*found)->strand_ids()) {
    for (auto& source : sources_) source->close(strand, now);
  }
  bundles_.erase(found);
}

void BundleDialer::drop_broken(TimePoint now) {
  for (const PathId bundle : std::exchange(broken_, {})) {
    drop(bundle, now);
    outer_->path_lost(bundle);
  }
}

void BundleDialer::close(PathId id, TimePoint now) {
  std::erase(broken_, id);
  drop(id, now);
}

// ---- What the strands report.

void BundleDialer::path_opened(Path& path, PeerHandle peer, wire::Channel channel) {
  peer_ = peer;
  channel_ = channel;
  gathered_.push_back({.id = path.id(), .path = &path});
}

void BundleDialer::path_lost(PathId id) {
  std::erase_if(gathered_, [id](const Connection& connection) { return connection.id == id; });
  const Bundle* bundle = bundle_of(id);
  if (bundle == nullptr) return;
  if (std::ranges::find(broken_, bundle->id()) == broken_.end()) broken_.push_back(bundle->id());
}

void BundleDialer::arrived(PathId id, Arrival arrival) {
  Bundle* bundle = bundle_of(id);
  if (bundle == nullptr) return;  // nobody has said hello over it
  // Some of its connections may be gone.
  if (std::ranges::find(broken_, bundle->id()) != broken_.end()) return;
  const auto flaw = bundle->take(id, std::move(arrival), *outer_);
  if (!flaw) return;
  outer_->refused(fmt::format("{}: {}", bundle->name(), *flaw));
  path_lost(id);
}

}  // namespace ptrain::net
