#include "tests/unit/reduce/company.h"

#include <algorithm>
#include <stdexcept>

#include <fmt/format.h>

namespace ptrain::reduce {

Vector Reference::value_of(const LaneRange& node, const std::vector<Vector>& lanes) {
  if (node.count() == 1) return lanes[node.first];
  const LaneRange left = left_half(node);
  const LaneRange right = right_half(node);
  Vector sum = carried(left, value_of(left, lanes));
  const Vector other = carried(right, value_of(right, lanes));
  for (std::size_t i = 0; i < sum.size(); ++i) sum[i] = sum[i] + other[i];
  return sum;
}

Vector Reference::carried(const LaneRange& edge, const Vector& values) {
  const EdgeCodec& codec = edge_codec(rule_.codec);
  Vector& residual = residuals_[edge];
  residual.resize(values.size());
  Vector corrected = values;
  for (std::size_t i = 0; i < values.size(); ++i) corrected[i] = residual[i] + values[i];
  std::vector<std::byte> bytes(codec.encoded_size(values.size()).value());
  const Vector& sent = rule_.feedback == 0 ? values : corrected;
  if (codec.encode(sent, bytes)) throw std::runtime_error("the reference is not finite");
  Vector back(values.size());
  codec.decode(bytes, back);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const float lost = corrected[i] - back[i];
    residual[i] = rule_.feedback * lost;
  }
  return back;
}

Company::Company(ReducePlan plan) : plan_(std::move(plan)) {
  for (std::uint32_t m = 0; m < plan_.members.size(); ++m) {
    residuals_.emplace_back(places_in_sums(plan_), MemberIndex(m));
  }
}

void Company::change(ReducePlan plan) {
  const auto before = places_in_sums(plan_);
  const auto after = places_in_sums(plan);
  std::vector<Residuals> changed;
  for (std::uint32_t m = 0; m < plan.members.size(); ++m)
    changed.emplace_back(after, MemberIndex(m));
  for (const ResidualMove& move : moves(before, after)) {
    const std::span<float> from = residuals_[move.from.value()].of(move.edge, move.elements);
    const std::span<float> to = changed[move.to.value()].of(move.edge, move.elements);
    std::copy(from.begin(), from.end(), to.begin());
  }
  residuals_ = std::move(changed);
  plan_ = std::move(plan);
}

std::vector<Vector> Company::sum(const std::vector<Vector>& lanes, std::mt19937& random,
                                 bool in_place) {
  const std::size_t count = plan_.members.size();
  letters_.clear();
  std::vector<Vector> held = lanes;
  std::vector<Vector> sums(count, Vector(plan_.elements(), -77));
  std::vector<LetterBox> posts;
  std::vector<std::unique_ptr<AllReduce>> members;
  for (std::uint32_t m = 0; m < count; ++m) posts.emplace_back(MemberIndex(m), letters_);
  for (std::uint32_t m = 0; m < count; ++m) {
    members.push_back(std::make_unique<AllReduce>(plan_, MemberIndex(m), residuals_[m], posts[m]));
  }
  std::vector<bool> begun(count);
  const auto begin = [&](std::size_t m) {
    std::vector<LaneValues> values;
    const auto indices = plan_.lanes_of(MemberIndex(static_cast<std::uint32_t>(m)));
    for (const LaneIndex lane : indices) values.push_back({lane, held[lane.value()]});
    members[m]->begin(values, in_place ? held[indices[0].value()] : sums[m]);
    begun[m] = true;
  };
  for (;;) {
    const bool all = std::all_of(members.begin(), members.end(),
                                 [](const auto& member) { return member->done(); });
    if (all && letters_.empty()) break;
    const std::size_t m = random() % count;
    bool moved = false;
    if (!begun[m] && random() % 4 == 0) begin(m);
    if (!begun[m]) continue;
    if (random() % 2 == 0) moved = members[m]->work();
    if (!letters_.empty() && random() % 2 == 0) {
      std::swap(letters_[random() % letters_.size()], letters_.back());
      const Letter letter = letters_.back();
      if (random() % 8 != 0) letters_.pop_back();  // or it comes once more
      AllReduce& to = *members[letter.to.value()];
      to.arrived(letter.from, letter.part, letter.bytes);
      moved = true;
      if (to.held_bytes() > to.most_held_bytes()) throw std::runtime_error("holds too much");
    }
    const bool stuck = !moved && !all && letters_.empty() &&
                       std::all_of(begun.begin(), begun.end(), [](bool b) { return b; }) &&
                       std::none_of(members.begin(), members.end(),
                                    [](const auto& member) { return member->work(); }) &&
                       letters_.empty();
    const bool still = stuck && std::any_of(members.begin(), members.end(),
                                            [](const auto& member) { return !member->done(); });
    if (still) throw std::runtime_error("nothing moves, and the sum is not done");
  }
  for (std::uint32_t m = 0; m < count; ++m) {
    if (members[m]->held_bytes() != ByteCount(0))
      throw std::runtime_error("holds parts in the end");
    if (!members[m]->awaited().empty()) throw std::runtime_error("waits in the end");
    if (in_place) sums[m] = held[plan_.lanes_of(MemberIndex(m))[0].value()];
  }
  return sums;
}

ReducePlan any_plan(std::uint32_t lanes, std::uint32_t most_members, std::uint64_t elements,
                    EdgeRule rule, std::mt19937& random) {
  std::vector<std::uint32_t> holders(lanes);
  for (std::uint32_t& holder : holders) holder = random() % most_members;
  std::vector<std::uint32_t> some = holders;
  std::sort(some.begin(), some.end());
  some.erase(std::unique(some.begin(), some.end()), some.end());
  ReducePlan plan;
  for (const std::uint32_t member : some) plan.members.push_back(fmt::format("peer-{}", member));
  for (const std::uint32_t holder : holders) {
    const auto index = std::lower_bound(some.begin(), some.end(), holder) - some.begin();
    plan.holder_of_lane.emplace_back(static_cast<std::uint32_t>(index));
  }
  std::vector<double> shares(some.size());
  for (double& share : shares) share = random() % 3 == 0 ? 0 : 1 + random() % 10;
  shares[random() % shares.size()] += 1;
  plan.chunks = cut(elements, shares);
  plan.edges = rule;
  plan.piece_elements = (1 + random() % 2) * kBlockElements;
  plan.window_pieces = 1 + random() % 3;
  return plan;
}

}  // namespace ptrain::reduce
