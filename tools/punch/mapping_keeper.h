// Keeps the mappings of some ports at the best of several mapping services: whom to ask what, and
// when. Pure: answers and times are the caller's, who brings the asks to the services. One thread.
//
// Looking: every source is asked whether it is there. The first one in their order that is, once
// those before it are known not to be or have had their head start, is asked for all ports; where
// it refuses one, it loses those that it has granted and the next one's turn comes. All ports are
// held at one source, or none: an outside address that differs by port would help nobody.
//
// Holding: each mapping is asked for again at half of its lease, then ever sooner, not below
// kLeastRetry; one that ends makes us look anew. Every kCheckInterval the source is looked at: one
// that began anew, forgot a mapping, or has another outside address is asked again for all at once,
// and so is one that announces itself.
//
// Failed: nobody grants them. It looks anew after a pause, which doubles.

#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "libcommon/base/clock.h"
#include "libcommon/portmap/ask.h"
#include "tools/punch/epoch.h"

namespace ptrain::punch {

inline constexpr Duration kHeadStart = std::chrono::seconds(2);
inline constexpr Duration kLeastRetry = std::chrono::seconds(4);  // RFC 6887, 11.2.1
inline constexpr Duration kCheckInterval = std::chrono::seconds(60);
inline constexpr Duration kFirstPause = std::chrono::seconds(15);
inline constexpr Duration kLongestPause = std::chrono::seconds(240);
inline constexpr Duration kFarewell = std::chrono::seconds(4);  // for removing, at the end
inline constexpr std::size_t kMaxPorts = 16;

class MappingKeeper {
 public:
  // Not none, and at most kMaxPorts. `lease` is what is asked for.
  MappingKeeper(std::vector<Port> ports, std::chrono::seconds lease);

  // Sources in the order in which they are preferred, by the names under which reasons() speak of
  // them. What was held at others is given up without a word to them: they are out of reach.
  void begin(std::vector<std::string> sources, TimePoint now);
  void take(const Outcome& outcome, TimePoint now);
  // A source has said that it is new. Anybody may say so: it costs a question each kLeastRetry.
  void announced(SourceNumber source, TimePoint now);
  void tick(TimePoint now);
  TimePoint next() const;  // when to tick

  // What is to be asked now; taken out.
  std::vector<Ask> take_asks();
  // What happened that a person may want to know; taken out.
  std::vector<std::string> take_notes();

  enum class State { looking, asking, holding, failed, ending, ended };
  State state() const { return state_; }
  // All ports, or none.
  std::map<Port, Outside> outside() const;
  std::optional<SourceNumber> source() const;  // that grants them
  std::chrono::seconds shortest_lease() const;
  // Of the last search: why each source does not serve, a line each.
  const std::vector<std::string>& reasons() const { return reasons_; }
  // What would cure it where all there is behind another NAT; empty otherwise.
  const std::string& cure() const { return cure_; }

  // Everything is removed; ended when it is, or kFarewell later.
  void finish(TimePoint now);

 private:
  enum class Standing { unknown, there, useless };
  struct Source {
    std::string name;
    Standing standing = Standing::unknown;
  };
  struct Lease {
    std::optional<Outside> outside;
    TimePoint expires;
    TimePoint ask_at;
    bool asked = false;
    std::chrono::seconds granted{};
  };

  void look(TimePoint now);
  void choose(TimePoint now);
  void use(SourceNumber source, TimePoint now);
  void give_up(const std::string& reason, TimePoint now);
  void ask_for(const Port& port);
  void give_back(SourceNumber source, const std::map<Port, Lease>& leases);
  void ask_all_again(TimePoint now);
  void take_look(const Outcome& outcome, TimePoint now);
  void take_mapping(const Outcome& outcome, TimePoint now);
  void take_granted(const Port& port, const Granted& granted, TimePoint now);
  void take_farewell(const Outcome& outcome);
  void lost(const std::string& why, TimePoint now);
  void tick_holding(TimePoint now);
  bool holds_all() const;

  std::vector<Port> ports_;
  std::chrono::seconds lease_;
  std::vector<Source> sources_;
  State state_ = State::failed;
  std::optional<SourceNumber> used_;
  std::map<Port, Lease> leases_;
  std::map<Port, Outside> wishes_;  // what each had last
  Epoch epoch_;
  TimePoint head_start_until_ = TimePoint::max();  // while it looks, and others may come first
  TimePoint check_at_;
  TimePoint again_at_;     // when it looks anew
  TimePoint heed_from_{};  // announcements that come sooner are not heeded
  Duration pause_ = kFirstPause;
  TimePoint farewell_until_;
  std::set<Port> leaving_;
  std::vector<std::string> reasons_;
  std::string cure_;
  std::vector<Ask> asks_;
  std::vector<std::string> notes_;
};

}  // namespace ptrain::punch
