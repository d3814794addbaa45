// A peer's part in changes of the view: what it has promised, accepted and follows. Pure.
//
// It follows the larger ballot, and never a smaller one than it has promised itself to. A view that
// it has accepted may come to be; one that it follows was acknowledged by every holder of it.
// Nothing of this outlives the process: a process that starts anew is another peer, with another
// name (job/peer_name.h), and a newcomer. So no promise is ever forgotten by who gave it.
//
// One thread. Every request has one answer, also when it comes again.

#pragma once

#include <compare>
#include <optional>

#include "libcommon/elastic/view_messages.h"

namespace ptrain::elastic {

class ViewHolder {
 public:
  // Who was told the run's view when it began, as all its peers were.
  ViewHolder(PeerName self, View view);
  // Who has come later: it knows no view.
  static ViewHolder newcomer(PeerName self);

  Answer take(const Request& request);

  // The view for which this peer should get ready: the accepted one. nullopt: there is none.
  std::optional<View> to_get_ready_for() const;
  // It has what its cells in that view need. What is to be said of it comes of the driver's asking
  // again, or at once.
  std::optional<Acknowledged> got_ready(const View& view);

  // The view under which it exchanges messages; nullopt: none yet, or it has learnt of a later one
  // that it does not follow yet and that leaves this one dead.
  const std::optional<View>& followed() const { return followed_; }
  // Under which ballot it came to follow it.
  const Ballot& followed_under() const { return followed_under_; }
  // The latest view that is known to have been agreed on, followed or not.
  const std::optional<View>& known() const { return known_; }
  const Ballot& promised() const { return promised_; }

  auto operator<=>(const ViewHolder&) const = default;

 private:
  explicit ViewHolder(PeerName self) : self_(std::move(self)) {}

  Answer on(const Propose& propose);
  Answer on(const Accept& accept);
  Answer on(const Commit& commit);
  std::optional<Refused> refusal_of(const Ballot& ballot, const View& base) const;
  void learn(const View& base);
  bool holds_in(const View& view) const;

  PeerName self_;
  Ballot promised_;
  std::optional<View> known_;
  std::optional<AcceptedView> accepted_;  // as what follows known_
  bool ready_ = false;                    // for accepted_
  std::optional<View> followed_;
  Ballot followed_under_;
};

}  // namespace ptrain::elastic
