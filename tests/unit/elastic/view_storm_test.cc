// Runs whose peers die, are cut off and come anew while several of them drive: messages are lost,
// late, out of order and twice, and relays may grant one number to everybody who asks. A seed is a
// run.

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <gtest/gtest.h>

#include "libcommon/elastic/view_change.h"
#include "libcommon/elastic/view_holder.h"
#include "tests/unit/elastic/views.h"

namespace ptrain::elastic {
namespace {

constexpr TimePoint kMoment{};
constexpr TimePoint kEver = TimePoint::max();
constexpr std::uint32_t kStages = 5;

enum class Relays { honest, lying };

class Storm {
 public:
  Storm(std::uint64_t seed, Relays relays) : random_(seed), relays_(relays) {
    const View first = view_of({"a", "b", "c", "d", "e"});
    for (const PeerName& each : job::holders_of(first))
      peers_.emplace(each, ViewHolder(each, first));
    for (const char* each : {"s", "t"}) {
      peers_.emplace(PeerName(each), ViewHolder::newcomer(PeerName(each)));
    }
  }

  void rage() {
    for (int event = 0; event < 400; ++event) {
      switch (below(12)) {
        case 0:
          become_driver();
          break;
        case 1:
          kill_one();
          break;
        case 2:
          for (auto& [name, change] : drivers_) glimpse(change);
          break;
        case 3:
        case 4:
          get_ready();
          break;
        case 5:
        case 6:
          speak();
          break;
        default:
          hear();
          break;
      }
    }
  }

  // With one driver, and nothing lost any more: whether every holder of its view follows it in the
  // end.
  bool calm_down() {
    drivers_.clear();
    under_way_.clear();
    const PeerName self = any_peer();
    View base =
        peers_.at(self).known() ? *peers_.at(self).known() : view_of({"a", "b", "c", "d", "e"});
    FencingNumber number = ++granted_;
    for (std::uint64_t round = 0; round < 50; ++round) {
      drivers_.insert_or_assign(self, change(base, self, {number, round, self}));
      ViewChange& driver = drivers_.at(self);
      for (int pass = 0; pass < 6 && !driver.deposed() && !driver.superseded(); ++pass) {
        for (const auto& [to, request] : driver.due(lease(driver), kMoment))
          answer(self, to, request);
        for (auto& [name, holder] : peers_) ready(holder);
      }
      if (driver.phase() == ViewChange::Phase::committed) return true;
      if (driver.deposed()) {
        number = std::max(number, driver.deposed()->promised.number) + 1;
        const auto& known = driver.deposed()->known;
        if (known && known->epoch > base.epoch) base = *known;
      } else if (driver.superseded()) {
        base = driver.view();
      }
    }
    return false;
  }

  const std::string& flaw() const { return flaw_; }
  std::size_t views() const { return followed_.size(); }

 private:
  struct Flying {
    PeerName from, to;
    std::variant<Request, Answer> what;
  };

  std::uint64_t below(std::uint64_t limit) { return random_() % limit; }
  PeerName any_peer() {
    auto place = peers_.begin();
    std::advance(place, below(peers_.size()));
    return place->first;
  }
  static Lease lease(const ViewChange& change) { return {change.ballot().number, kEver}; }

  ViewChange change(const View& base, const PeerName& self, const Ballot& ballot) {
    std::vector<PeerName> hands;
    for (const auto& [name, unused] : peers_) hands.push_back(name);
    std::shuffle(hands.begin(), hands.end(), random_);
    // At least three holders, so that one death leaves enough to decide.
    hands.resize(std::min<std::size_t>(hands.size(), 3 + below(3)));
    View wanted = base;
    wanted.epoch = base.epoch.next();
    wanted.driver = self;
    for (std::uint32_t stage = 0; stage < kStages; ++stage) {
      wanted.holders[cell_at(stage)] = hands[stage % hands.size()];
    }
    std::set<PeerName> present;
    for (const auto& [name, unused] : peers_) present.insert(name);
    return ViewChange({base, wanted, ballot, present}, {ballot.number, kEver}, kMoment);
  }

  void become_driver() {
    const PeerName self = any_peer();
    const auto& known = peers_.at(self).known();
    if (!known) return;  // a newcomer without a view has nothing to change
    View base = *known;
    // One that was agreed on, and has lost a holder, is the base of the next.
    const auto before = drivers_.find(self);
    if (before != drivers_.end() && before->second.superseded() &&
        before->second.view().epoch > base.epoch) {
      base = before->second.view();
    }
    const FencingNumber number = relays_ == Relays::honest ? ++granted_ : granted_ + below(2);
    granted_ = std::max(granted_, number);
    drivers_.insert_or_assign(self, change(base, self, {number, ++rounds_, self}));
  }

  void kill_one() {
    if (killed_) return;
    killed_ = true;
    const PeerName victim = any_peer();
    peers_.erase(victim);
    drivers_.erase(victim);
    promised_.erase(victim);
    const PeerName anew(victim.text() + "2");  // the same host, another process
    peers_.emplace(anew, ViewHolder::newcomer(anew));
    for (auto& [name, change] : drivers_) {
      change.lost(victim);
      change.found(anew);
    }
  }

  // Somebody seems to be gone, or is back.
  void glimpse(ViewChange& change) {
    const PeerName peer = any_peer();
    below(2) == 0 ? change.lost(peer) : change.found(peer);
  }

  void ready(ViewHolder& holder) {
    if (const auto view = holder.to_get_ready_for()) holder.got_ready(*view);
  }
  void get_ready() { ready(peers_.at(any_peer())); }

  void speak() {
    if (drivers_.empty()) return;
    auto place = drivers_.begin();
    std::advance(place, below(drivers_.size()));
    for (const auto& [to, request] : place->second.due(lease(place->second), kMoment)) {
      if (below(4) > 0) under_way_.push_back({place->first, to, request});
    }
  }

  void hear() {
    if (under_way_.empty()) return;
    const std::size_t index = below(under_way_.size());
    const Flying flying = under_way_[index];
    if (below(5) > 0) under_way_.erase(under_way_.begin() + static_cast<std::ptrdiff_t>(index));
    if (below(5) == 0) return;  // lost
    if (const auto* request = std::get_if<Request>(&flying.what)) {
      const auto holder = peers_.find(flying.to);
      if (holder == peers_.end()) return;
      const Answer told = holder->second.take(*request);
      look_at(flying.to);
      under_way_.push_back({flying.to, flying.from, told});
    } else if (const auto driver = drivers_.find(flying.to); driver != drivers_.end()) {
      driver->second.take(flying.from, std::get<Answer>(flying.what));
      look_at(driver->second);
    }
  }

  void answer(const PeerName& self, const PeerName& to, const Request& request) {
    const Answer told = peers_.at(to).take(request);
    look_at(to);
    drivers_.at(self).take(to, told);
    look_at(drivers_.at(self));
  }

  void look_at(const PeerName& name) {
    const ViewHolder& holder = peers_.at(name);
    auto& [promised, under] = promised_[name];
    if (holder.promised() < promised || holder.followed_under() < under) {
      flaw_ = name.text() + " follows a smaller ballot than before";
    }
    promised = holder.promised();
    under = holder.followed_under();
    if (holder.followed()) note(followed_, *holder.followed(), "followed");
    if (holder.known()) note(agreed_, *holder.known(), "known");
  }
  void look_at(const ViewChange& change) {
    if (change.agreed()) note(agreed_, change.view(), "agreed on");
  }
  void note(std::map<job::Epoch, View>& views, const View& view, const std::string& what) {
    const auto [place, added] = views.emplace(view.epoch, view);
    if (!added && place->second != view) {
      flaw_ = "two views of epoch " + std::to_string(view.epoch.value()) + " are " + what;
    }
  }

  std::mt19937_64 random_;
  Relays relays_;
  FencingNumber granted_ = 1;
  std::uint64_t rounds_ = 0;
  bool killed_ = false;
  std::map<PeerName, ViewHolder> peers_;
  std::map<PeerName, ViewChange> drivers_;
  std::vector<Flying> under_way_;
  std::map<PeerName, std::pair<Ballot, Ballot>> promised_;
  std::map<job::Epoch, View> agreed_;
  std::map<job::Epoch, View> followed_;
  std::string flaw_;
};

void weather(Relays relays) {
  std::size_t views = 0;
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    Storm storm(seed, relays);
    storm.rage();
    ASSERT_EQ(storm.flaw(), "") << "seed " << seed;
    ASSERT_TRUE(storm.calm_down()) << "seed " << seed;
    ASSERT_EQ(storm.flaw(), "") << "seed " << seed << ", afterwards";
    views += storm.views();
  }
  EXPECT_GT(views, 300u);  // more than the one that each begins with
}

TEST(ViewStormTest, NoEpochHasTwoViewsAndEveryStormEnds) { weather(Relays::honest); }
TEST(ViewStormTest, NorWhereRelaysGrantOneNumberToAll) { weather(Relays::lying); }

}  // namespace
}  // namespace ptrain::elastic
