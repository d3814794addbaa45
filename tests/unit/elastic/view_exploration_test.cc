// Every order in which two drivers, who know nothing of each other, can change the view of three
// peers: each request is answered, lost with or without having arrived, or comes once more when the
// driver is long past it.

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "libcommon/elastic/view_change.h"
#include "libcommon/elastic/view_holder.h"
#include "tests/unit/elastic/views.h"

namespace ptrain::elastic {
namespace {

constexpr std::size_t kMostDramas = 5000;
constexpr Lease kLease4{.number = 4, .until = TimePoint(Duration(10))};

struct Drama {
  std::map<PeerName, ViewHolder> holders;
  std::vector<ViewChange> drivers;

  auto operator<=>(const Drama&) const = default;
};

struct Findings {
  std::size_t dramas = 0;
  std::size_t ends = 0;    // with a view that every holder of it follows
  bool split = false;      // two views agreed on, or followed
  bool went_back = false;  // somebody followed a smaller ballot than before
};

class Exploration {
 public:
  Exploration() {
    const View base = view_of({"a", "b"});
    Drama begin;
    for (const char* name : {"a", "b"}) {
      begin.holders.emplace(PeerName(name), ViewHolder(PeerName(name), base));
    }
    // Each leaves the other out, and both have the number 4.
    begin.drivers.push_back(driver(base, view_of({"a", "a"}, 1), "a"));
    begin.drivers.push_back(driver(base, view_of({"b", "b"}, 1), "b"));
    add(std::move(begin));
    while (!open_.empty()) {
      const Drama drama = *std::exchange(open_.back(), nullptr);
      open_.pop_back();
      go_on(drama);
    }
    findings_.dramas = seen_.size();
  }

  const Findings& findings() const { return findings_; }

 private:
  static ViewChange driver(const View& base, const View& wanted, const char* name) {
    std::set<PeerName> present = job::holders_of(base);
    return ViewChange({base, wanted, {4, 0, PeerName(name)}, present}, kLease4, TimePoint());
  }

  void add(Drama drama) {
    if (seen_.size() == kMostDramas) return;
    const auto [place, added] = seen_.insert(std::move(drama));
    if (!added) return;
    open_.push_back(&*place);
    judge(*place);
  }

  void judge(const Drama& drama) {
    std::set<View> agreed;
    for (const ViewChange& change : drama.drivers) {
      if (change.agreed()) agreed.insert(change.view());
      if (change.phase() == ViewChange::Phase::committed) ++findings_.ends;
    }
    for (const auto& [name, holder] : drama.holders) {
      if (holder.followed() && holder.followed()->epoch > job::Epoch(0)) {
        agreed.insert(*holder.followed());
      }
    }
    if (agreed.size() > 1) findings_.split = true;
  }

  // All that driver has said, or can say now, to a peer.
  static std::vector<Request> requests(const ViewChange& change, const View& base) {
    std::vector<Request> all{Propose{change.ballot(), base}};
    if (change.phase() >= ViewChange::Phase::prepared) {
      all.push_back(Accept{change.ballot(), base, change.view()});
    }
    if (change.phase() >= ViewChange::Phase::ready) {
      all.push_back(Commit{change.ballot(), change.view()});
    }
    return all;
  }

  void go_on(const Drama& drama) {
    const View base = view_of({"a", "b"});
    for (const auto& [name, holder] : drama.holders) {
      if (const auto view = holder.to_get_ready_for()) {
        Drama next = drama;
        next.holders.at(name).got_ready(*view);
        add(std::move(next));
      }
      for (std::size_t i = 0; i < drama.drivers.size(); ++i) {
        for (const Request& request : requests(drama.drivers[i], base)) {
          Drama unanswered = drama;
          const Answer answer = unanswered.holders.at(name).take(request);
          const ViewHolder& after = unanswered.holders.at(name);
          if (after.promised() < holder.promised() ||
              after.followed_under() < holder.followed_under()) {
            findings_.went_back = true;
          }
          Drama answered = unanswered;
          answered.drivers[i].take(name, answer);
          add(std::move(unanswered));
          add(std::move(answered));
        }
      }
    }
  }

  std::set<Drama> seen_;
  std::vector<const Drama*> open_;
  Findings findings_;
};

TEST(ViewExplorationTest, OneViewAtMostIsAgreedOnInEveryOrder) {
  const Findings found = Exploration().findings();
  EXPECT_FALSE(found.split);
  EXPECT_FALSE(found.went_back);
  EXPECT_GT(found.ends, 0u);
  RecordProperty("dramas", static_cast<int>(found.dramas));
}

}  // namespace
}  // namespace ptrain::elastic
