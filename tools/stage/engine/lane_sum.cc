#include "tools/stage/engine/lane_sum.h"

#include <algorithm>
#include <utility>

namespace ptrain::stage {
namespace {

// From the lowest bit on: the piece, the lanes' end and beginning, whether it is a total.
constexpr unsigned kPieceBits = 32;
constexpr unsigned kLaneBits = 13;
static_assert(reduce::kMaxLanes < 1u << kLaneBits);

constexpr std::uint64_t low_bits(std::uint64_t number, unsigned bits) {
  return number & ((std::uint64_t{1} << bits) - 1);
}

}  // namespace

std::uint64_t number_of(const reduce::PartName& part) {
  std::uint64_t number = part.kind == reduce::PartKind::total ? 1 : 0;
  number = number << kLaneBits | part.lanes.first;
  number = number << kLaneBits | part.lanes.end;
  return number << kPieceBits | part.piece;
}

reduce::PartName part_of(std::uint64_t number) {
  reduce::PartName part;
  part.piece = static_cast<std::uint32_t>(low_bits(number, kPieceBits));
  number >>= kPieceBits;
  part.lanes.end = static_cast<std::uint32_t>(low_bits(number, kLaneBits));
  number >>= kLaneBits;
  part.lanes.first = static_cast<std::uint32_t>(low_bits(number, kLaneBits));
  number >>= kLaneBits;
  part.kind = number == 0 ? reduce::PartKind::subtotal : reduce::PartKind::total;
  return part;
}

LaneSum::LaneSum(stage::Post& post, Inbox& inbox, Step step, std::uint64_t elements)
    : post_(post),
      inbox_(inbox),
      step_(step),
      members_(post.place().holders()),
      sum_(plan(elements), member(post.place().self()), residuals_, *this) {}

reduce::MemberIndex LaneSum::member(WorkerIndex worker) const {
  const auto found = std::ranges::find(members_, worker);
  return reduce::MemberIndex(static_cast<std::uint32_t>(found - members_.begin()));
}

reduce::ReducePlan LaneSum::plan(std::uint64_t elements) const {
  const Place& place = post_.place();
  reduce::ReducePlan plan;
  for (const WorkerIndex worker : members_) plan.members.push_back(place.layout().called(worker));
  for (std::uint32_t lane = 0; lane < place.lanes(); ++lane) {
    plan.holder_of_lane.push_back(member(place.holder(place.stage(), LaneIndex(lane))));
  }
  const std::vector<double> shares(members_.size(), 1.0);
  plan.chunks = reduce::cut(elements, shares);
  return plan;
}

void LaneSum::begin(std::span<const LaneGradient> lanes) {
  std::vector<reduce::LaneValues> values;
  for (const LaneGradient& gradient : lanes) values.push_back({gradient.lane, gradient.values});
  sum_.begin(values, lanes.front().values);
}

bool LaneSum::advance() {
  if (auto message = inbox_.take_any(wire::MessageKind::reduce_part, step_)) {
    sum_.arrived(member(post_.place().sender(message->name)), part_of(message->name.part),
                 std::move(message->payload));
    return true;
  }
  return sum_.work();
}

std::optional<WorkerIndex> LaneSum::awaited() const {
  const auto awaited = sum_.awaited();
  if (awaited.empty()) return std::nullopt;
  return members_[awaited.front().value()];
}

void LaneSum::send(reduce::MemberIndex to, const reduce::PartName& part, wire::Buffer bytes) {
  const Place& place = post_.place();
  sent_ = ByteCount(sent_.value() + bytes.size());
  post_.send(members_[to.value()],
             name_of(wire::MessageKind::reduce_part, step_, place.cells().front(),
                     MicrobatchIndex(0), number_of(part)),
             std::move(bytes));
}

}  // namespace ptrain::stage
