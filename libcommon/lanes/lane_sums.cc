#include "libcommon/lanes/lane_sums.h"

#include <algorithm>
#include <exception>
#include <utility>

#include <fmt/format.h>

#include "libcommon/os/quiet_thread.h"

namespace ptrain::lanes {

using reduce::AllReduce;
using reduce::MemberIndex;
using reduce::PartName;
using reduce::SumId;
using reduce::SumPart;

// Puts a name to what one sum sends.
class LaneSums::Outgoing final : public reduce::Post {
 public:
  Outgoing(Carrier& carrier, SumId sum) : carrier_(carrier), sum_(sum) {}

  void send(MemberIndex to, const PartName& part, wire::Buffer bytes) override {
    const std::uint64_t size = bytes.size();
    for (wire::Message& message :
         reduce::part_messages({.sum = sum_, .name = part, .bytes = std::move(bytes)})) {
      if (!carrier_.send(to, std::move(message)) && !refused_) refused_ = to;
    }
    sent_ += size;
  }

  std::optional<MemberIndex> refused() const { return refused_; }
  std::uint64_t sent_bytes() const { return sent_; }

 private:
  Carrier& carrier_;
  const SumId sum_;
  std::optional<MemberIndex> refused_;  // the first that could not be sent to
  std::uint64_t sent_ = 0;
};

struct LaneSums::Sum {
  Sum(SumOrder what, MemberIndex self, Carrier& carrier, TimePoint now)
      : order(std::move(what)),
        outgoing(carrier, order.id),
        all_reduce(order.plan, self, *order.residuals, outgoing),
        begun(now) {
    all_reduce.begin(order.lanes, order.sum);
  }

  const SumOrder order;
  Outgoing outgoing;
  AllReduce all_reduce;
  const TimePoint begun;
  Duration idle{};
  std::uint64_t received = 0;
};

LaneSums::LaneSums(MemberIndex self, Carrier& carrier, const Clock& clock)
    : self_(self), carrier_(carrier), clock_(clock) {
  thread_ = os::quiet_thread([this] { run(); });
}

LaneSums::~LaneSums() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  work_came_.notify_all();
  thread_.join();
}

void LaneSums::order(SumOrder order) {
  {
    const std::lock_guard lock(mutex_);
    if (order.residuals == nullptr) {
      throw Error(ErrorKind::internal,
                  fmt::format("sum {} is ordered without residuals", order.id.value()));
    }
    if (last_ordered_ && order.id <= *last_ordered_) {
      throw Error(ErrorKind::internal, fmt::format("sum {} is ordered after sum {}",
                                                   order.id.value(), last_ordered_->value()));
    }
    last_ordered_ = order.id;
    orders_.push_back(std::move(order));
  }
  work_came_.notify_all();
}

void LaneSums::arrived(MemberIndex from, wire::Message message, net::Credit credit) {
  {
    const std::lock_guard lock(mutex_);
    if (failure_) return;  // and the credit ends: nobody is to be stopped by a sum that is over
    inbox_.push_back({from, std::move(message), std::move(credit)});
  }
  work_came_.notify_all();
}

void LaneSums::lost(MemberIndex member, std::string why) {
  {
    const std::lock_guard lock(mutex_);
    inbox_.push_back({.from = member, .message = {}, .credit = {}, .loss = std::move(why)});
  }
  work_came_.notify_all();
}

std::optional<SumFigures> LaneSums::wait(SumId id, Duration timeout) {
  std::unique_lock lock(mutex_);
  const auto ended = [&] { return failure_ || done_.contains(id); };
  if (!something_ended_.wait_for(lock, timeout, ended)) return std::nullopt;
  const auto done = done_.extract(id);
  if (!done.empty()) return done.mapped();
  throw Error(*failure_);
}

std::vector<MemberIndex> LaneSums::awaited() const {
  const std::lock_guard lock(mutex_);
  return awaited_;
}

// ---- Our thread.

void LaneSums::run() {
  std::unique_lock lock(mutex_);
  while (!ending_) {
    std::deque<Letter> letters = std::exchange(inbox_, {});
    std::optional<SumOrder> next;
    if (!sum_ && !orders_.empty() && !failure_) {
      next = std::move(orders_.front());
      orders_.pop_front();
    }
    const bool failed = failure_.has_value();
    lock.unlock();
    bool busy = !letters.empty() || next;
    try {
      if (next) begin(std::move(*next));
      for (Letter& letter : letters) {
        if (!failed) handle(std::move(letter));
      }
      letters.clear();
      if (sum_ && advance()) busy = true;
      if (sum_ && !busy) check_losses();
    } catch (const Error& error) {
      fail(error);
    } catch (const std::exception& exception) {
      fail(Error(ErrorKind::internal, fmt::format("a sum over lanes ended: {}", exception.what())));
    }
    lock.lock();
    if (busy || ending_ || !inbox_.empty() || (!sum_ && !orders_.empty() && !failure_)) continue;
    if (sum_) awaited_ = sum_->all_reduce.awaited();
    const TimePoint since = clock_.now();
    work_came_.wait(lock);
    if (sum_) sum_->idle += clock_.now() - since;
  }
}

void LaneSums::begin(SumOrder order) {
  sum_ = std::make_unique<Sum>(std::move(order), self_, carrier_, clock_.now());
  // Those of later sums stay as they are, in their order.
  for (EarlyPart& early : std::exchange(early_, {})) {
    take(early.from, std::move(early.part), std::move(early.credit));
  }
}

void LaneSums::handle(Letter letter) {
  if (letter.loss) {
    lost_.emplace(letter.from, std::move(*letter.loss));
    return;
  }
  auto read = readers_[letter.from].take(letter.message);
  if (const auto* malformed = std::get_if<wire::Malformed>(&read)) {
    throw Error(ErrorKind::corrupt, fmt::format("a sum over lanes gets from {} {}",
                                                name_of(letter.from), malformed->why));
  }
  auto& part = std::get<std::optional<SumPart>>(read);
  if (part) take(letter.from, std::move(*part), std::move(letter.credit));
}

// The credit ends with its scope, but for what is early.
void LaneSums::take(MemberIndex from, SumPart part, net::Credit credit) {
  if (sum_ && part.sum == sum_->order.id) {
    sum_->received += part.bytes.size();
    sum_->all_reduce.arrived(from, part.name, std::move(part.bytes));
    return;
  }
  const std::optional<SumId> latest = sum_ ? sum_->order.id : last_done_;
  if (!latest || part.sum > *latest) {
    early_.push_back({from, std::move(part), std::move(credit)});
  }
}

// One piece, so that what has come meanwhile is looked at first; false: nothing was to be done.
bool LaneSums::advance() {
  const bool worked = sum_->all_reduce.work();
  if (const auto refused = sum_->outgoing.refused()) {
    const auto known = lost_.find(*refused);
    throw Error(
        ErrorKind::unavailable,
        fmt::format("sum {} over lanes: nothing can be sent to {}{}", sum_->order.id.value(),
                    name_of(*refused), known == lost_.end() ? "" : ": " + known->second));
  }
  if (!sum_->all_reduce.done()) return worked;
  finish();
  return true;
}

void LaneSums::finish() {
  const SumFigures figures{.took = clock_.now() - sum_->begun,
                           .idle = sum_->idle,
                           .tx_bytes = ByteCount(sum_->outgoing.sent_bytes()),
                           .rx_bytes = ByteCount(sum_->received)};
  last_done_ = sum_->order.id;
  sum_.reset();
  {
    const std::lock_guard lock(mutex_);
    done_.emplace(*last_done_, figures);
    awaited_.clear();
  }
  something_ended_.notify_all();
}

// One that left when it was done with a sum is not missed in it.
void LaneSums::check_losses() const {
  if (lost_.empty()) return;
  for (const MemberIndex member : sum_->all_reduce.awaited()) {
    const auto found = lost_.find(member);
    if (found == lost_.end()) continue;
    throw Error(ErrorKind::unavailable,
                fmt::format("sum {} over lanes: {} is gone: {}", sum_->order.id.value(),
                            name_of(member), found->second));
  }
}

void LaneSums::fail(const Error& error) {
  sum_.reset();
  early_.clear();
  {
    const std::lock_guard lock(mutex_);
    failure_ = error;
    inbox_.clear();
    orders_.clear();
    awaited_.clear();
  }
  something_ended_.notify_all();
}

std::string LaneSums::name_of(MemberIndex member) const {
  if (sum_ && member.value() < sum_->order.plan.members.size()) {
    return sum_->order.plan.members[member.value()];
  }
  return fmt::format("member {}", member.value());
}

}  // namespace ptrain::lanes
