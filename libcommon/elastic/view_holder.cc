#include "libcommon/elastic/view_holder.h"

#include <algorithm>
#include <utility>

namespace ptrain::elastic {

ViewHolder::ViewHolder(PeerName self, View view) : self_(std::move(self)), known_(std::move(view)) {
  followed_ = known_;
}

ViewHolder ViewHolder::newcomer(PeerName self) { return ViewHolder(std::move(self)); }

bool ViewHolder::holds_in(const View& view) const {
  return std::any_of(view.holders.begin(), view.holders.end(),
                     [this](const auto& cell) { return cell.second == self_; });
}

std::optional<Refused> ViewHolder::refusal_of(const Ballot& ballot, const View& base) const {
  if (ballot < promised_) return Refused{ballot, RefusalReason::fenced, promised_, known_};
  if (known_ && base.epoch < known_->epoch) {
    return Refused{ballot, RefusalReason::overtaken, promised_, known_};
  }
  if (known_ && base.epoch == known_->epoch && base != *known_) {
    return Refused{ballot, RefusalReason::other_branch, promised_, known_};
  }
  return std::nullopt;
}

// A driver proposes only on top of what was agreed on, so its base was, whatever was accepted here.
void ViewHolder::learn(const View& base) {
  if (known_ && known_->epoch >= base.epoch) return;
  known_ = base;
  accepted_.reset();
  ready_ = false;
  followed_.reset();
}

Answer ViewHolder::take(const Request& request) {
  return std::visit([this](const auto& each) { return on(each); }, request);
}

Answer ViewHolder::on(const Propose& propose) {
  if (auto refusal = refusal_of(propose.ballot, propose.base)) return *refusal;
  promised_ = propose.ballot;
  learn(propose.base);
  return Promised{propose.ballot, holds_in(propose.base), accepted_};
}

Answer ViewHolder::on(const Accept& accept) {
  if (auto refusal = refusal_of(accept.ballot, accept.base)) return *refusal;
  promised_ = accept.ballot;
  learn(accept.base);
  if (!accepted_ || accepted_->view != accept.view) ready_ = false;
  accepted_ = AcceptedView{accept.ballot, accept.view};
  return Acknowledged{accept.ballot, holds_in(accept.base), ready_};
}

Answer ViewHolder::on(const Commit& commit) {
  if (commit.ballot < promised_) {
    return Refused{commit.ballot, RefusalReason::fenced, promised_, known_};
  }
  if (followed_ == commit.view) {  // once more
    promised_ = commit.ballot;
    return Followed{commit.ballot};
  }
  if (known_ && commit.view.epoch <= known_->epoch) {
    const bool same = commit.view == *known_;
    return Refused{commit.ballot,
                   same                                 ? RefusalReason::not_ready
                   : commit.view.epoch == known_->epoch ? RefusalReason::other_branch
                                                        : RefusalReason::overtaken,
                   promised_, known_};
  }
  // Nobody should say so of a holder that has not said that it is ready.
  const bool got_ready = accepted_ && accepted_->view == commit.view && ready_;
  if (holds_in(commit.view) && !got_ready) {
    return Refused{commit.ballot, RefusalReason::not_ready, promised_, known_};
  }
  promised_ = commit.ballot;
  known_ = commit.view;
  followed_ = commit.view;
  followed_under_ = commit.ballot;
  accepted_.reset();
  ready_ = false;
  return Followed{commit.ballot};
}

std::optional<View> ViewHolder::to_get_ready_for() const {
  return accepted_ ? std::optional(accepted_->view) : std::nullopt;
}

std::optional<Acknowledged> ViewHolder::got_ready(const View& view) {
  if (!accepted_ || accepted_->view != view) return std::nullopt;
  ready_ = true;
  return Acknowledged{accepted_->ballot, known_ && holds_in(*known_), ready_};
}

}  // namespace ptrain::elastic
