#include "libcommon/elastic/view_change.h"

#include <algorithm>

#include <fmt/format.h>

#include "libcommon/base/error.h"

namespace ptrain::elastic {
namespace {

std::size_t votes_of(const std::set<PeerName>& holders, const std::set<PeerName>& voters) {
  return static_cast<std::size_t>(std::count_if(
      voters.begin(), voters.end(), [&](const PeerName& peer) { return holders.contains(peer); }));
}

}  // namespace

bool decide(DecidedBy rule, const View& base, const std::set<PeerName>& voters) {
  const std::set<PeerName> holders = job::holders_of(base);
  const std::size_t votes = votes_of(holders, voters);
  if (rule == DecidedBy::lease) return votes > 0;
  if (votes * 2 == holders.size()) return voters.contains(base.holders.begin()->second);
  return votes * 2 > holders.size();
}

std::string what_is_missing(DecidedBy rule, const View& base, const std::set<PeerName>& voters) {
  if (decide(rule, base, voters)) return "";
  const std::set<PeerName> holders = job::holders_of(base);
  const std::size_t votes = votes_of(holders, voters);
  const std::string have =
      fmt::format("{} of {} holders of epoch {} {} voted", votes, holders.size(),
                  base.epoch.value(), votes == 1 ? "has" : "have");
  if (rule == DecidedBy::lease) return have + ", 1 must";
  if (votes * 2 == holders.size()) {
    return have + fmt::format(", without {}, the holder of cell 0,0, {} must",
                              base.holders.begin()->second.text(), votes + 1);
  }
  return have + fmt::format(", {} must", holders.size() / 2 + 1);
}

ViewChange::ViewChange(Plan plan, const Lease& lease, TimePoint now)
    : plan_(std::move(plan)), view_(plan_.wanted) {
  const auto refuse = [](const std::string& why) {
    throw Error(ErrorKind::internal, "a change of the view: " + why);
  };
  if (!lease.holds(now)) refuse("its driver has no lease");
  if (plan_.ballot.number != lease.number) {
    refuse(
        fmt::format("ballot {} under a lease of number {}", to_string(plan_.ballot), lease.number));
  }
  if (const auto flaw = job::flaw_of(plan_.wanted, job::grid_of(plan_.base))) refuse(*flaw);
  if (const auto why = job::why_not_after(plan_.base, plan_.wanted)) refuse(*why);
  if (plan_.wanted.epoch != plan_.base.epoch.next()) {
    refuse(fmt::format("epoch {} after epoch {}", plan_.wanted.epoch.value(),
                       plan_.base.epoch.value()));
  }
}

// Those who decide, and those who must get ready; and the new driver, which may hold nothing.
std::set<PeerName> ViewChange::audience() const {
  std::set<PeerName> peers = job::holders_of(plan_.base);
  peers.merge(job::peers_of(view_));
  std::erase_if(peers, [this](const PeerName& peer) { return !plan_.present.contains(peer); });
  return peers;
}

std::vector<std::pair<PeerName, Request>> ViewChange::due(const Lease& lease, TimePoint now) const {
  std::vector<std::pair<PeerName, Request>> requests;
  if (!lease.holds(now) || lease.number != plan_.ballot.number || deposed_) return requests;
  for (const PeerName& peer : audience()) {
    switch (phase_) {
      case Phase::proposed:
        if (!promised_.contains(peer))
          requests.emplace_back(peer, Propose{plan_.ballot, plan_.base});
        break;
      case Phase::prepared:
        if (!answered_.contains(peer) || (holders().contains(peer) && !ready_.contains(peer))) {
          requests.emplace_back(peer, Accept{plan_.ballot, plan_.base, view_});
        }
        break;
      case Phase::ready:
      case Phase::committed:  // who is left out is told too
        if (!followed_.contains(peer)) requests.emplace_back(peer, Commit{plan_.ballot, view_});
        break;
    }
  }
  return requests;
}

void ViewChange::take(const PeerName& from, const Answer& answer) {
  const auto ours = [this](const auto& each) { return each.ballot == plan_.ballot; };
  if (!std::visit(ours, answer)) return;
  if (const auto* promised = std::get_if<Promised>(&answer)) {
    if (phase_ == Phase::proposed) promised_.emplace(from, *promised);
  } else if (const auto* acknowledged = std::get_if<Acknowledged>(&answer)) {
    answered_.insert(from);
    if (acknowledged->votes) accepted_.insert(from);
    if (acknowledged->ready) ready_.insert(from);
  } else if (std::holds_alternative<Followed>(answer)) {
    followed_.insert(from);
  } else {
    deposed_ = std::get<Refused>(answer);
  }
  advance();
}

void ViewChange::lost(const PeerName& peer) {
  plan_.present.erase(peer);
  if (phase_ == Phase::prepared) ready_.erase(peer);
}

void ViewChange::found(const PeerName& peer) { plan_.present.insert(peer); }

void ViewChange::advance() {
  if (phase_ == Phase::proposed) {
    std::set<PeerName> voters;
    const AcceptedView* latest = nullptr;
    for (const auto& [peer, promised] : promised_) {
      if (!promised.votes) continue;
      voters.insert(peer);
      const auto& accepted = promised.accepted;
      if (accepted && (latest == nullptr || accepted->ballot > latest->ballot)) latest = &*accepted;
    }
    if (!decide(plan_.rule, plan_.base, voters)) return;
    if (latest != nullptr) view_ = latest->view;
    phase_ = Phase::prepared;
  }
  if (phase_ == Phase::prepared && agreed() && all_holders_in(ready_)) phase_ = Phase::ready;
  if (phase_ == Phase::ready && all_holders_in(followed_)) phase_ = Phase::committed;
}

bool ViewChange::all_holders_in(const std::set<PeerName>& peers) const {
  const std::set<PeerName> wanted = holders();
  return std::includes(peers.begin(), peers.end(), wanted.begin(), wanted.end());
}

bool ViewChange::agreed() const {
  return phase_ != Phase::proposed && decide(plan_.rule, plan_.base, accepted_);
}

bool ViewChange::superseded() const {
  return agreed() && phase_ != Phase::committed && (adopted() || !all_holders_in(plan_.present));
}

std::set<PeerName> ViewChange::unaccounted() const {
  std::set<PeerName> peers = job::holders_of(plan_.base);
  std::erase_if(peers, [this](const PeerName& peer) { return accepted_.contains(peer); });
  return peers;
}

std::string ViewChange::waits_for() const {
  if (deposed_) {
    switch (deposed_->reason) {
      case RefusalReason::fenced:
        return "deposed: somebody follows ballot " + to_string(deposed_->promised);
      case RefusalReason::overtaken:
      case RefusalReason::other_branch:
        return fmt::format("deposed: somebody knows of {} view of epoch {}",
                           deposed_->reason == RefusalReason::overtaken ? "the" : "another",
                           deposed_->known ? deposed_->known->epoch.value() : 0);
      case RefusalReason::not_ready:
        return "deposed: somebody is not ready that was";
    }
  }
  const auto first_not_in = [this](const std::set<PeerName>& peers) {
    for (const PeerName& peer : holders()) {
      if (!peers.contains(peer)) return peer.text();
    }
    return std::string("nobody");
  };
  std::set<PeerName> voters;
  switch (phase_) {
    case Phase::proposed:
      for (const auto& [peer, promised] : promised_) {
        if (promised.votes) voters.insert(peer);
      }
      return "proposed: " + what_is_missing(plan_.rule, plan_.base, voters);
    case Phase::prepared:
      if (!agreed()) return "prepared: " + what_is_missing(plan_.rule, plan_.base, accepted_);
      return fmt::format("prepared: {} has not got ready for epoch {}", first_not_in(ready_),
                         view_.epoch.value());
    case Phase::ready:
      return fmt::format("ready: {} does not follow epoch {} yet", first_not_in(followed_),
                         view_.epoch.value());
    case Phase::committed:
      break;
  }
  return "";
}

}  // namespace ptrain::elastic
