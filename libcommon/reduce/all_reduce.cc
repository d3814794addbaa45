#include "libcommon/reduce/all_reduce.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/base/subnormals.h"
#include "libcommon/reduce/kernels/kernels.h"

namespace ptrain::reduce {

AllReduce::AllReduce(ReducePlan plan, MemberIndex self, Residuals& residuals, Post& post)
    : plan_(std::move(plan)),
      self_(self),
      root_(plan_.root()),
      codec_(edge_codec(plan_.edges.codec)),
      residuals_(residuals),
      post_(post) {
  if (const auto flaw = flaw_of(plan_)) {
    throw Error(ErrorKind::internal, "the plan of a sum over lanes: " + *flaw);
  }
  if (self_.value() >= plan_.members.size()) {
    throw Error(ErrorKind::internal, fmt::format("member {} of a sum over lanes, which has {}",
                                                 self_.value(), plan_.members.size()));
  }
  largest_piece_ = std::min(plan_.piece_elements, plan_.elements());
  decoded_.resize(plan_.edges.feedback == 0 ? 0 : largest_piece_);
  for (std::uint32_t m = 0; m < plan_.members.size(); ++m) {
    const std::uint32_t pieces = plan_.pieces_of(MemberIndex(m));
    subtrees_.push_back(plan_.subtrees_of(MemberIndex(m)));
    chunks_.push_back({.pieces = pieces, .here = std::vector<bool>(pieces)});
  }
}

void AllReduce::begin(std::span<const LaneValues> lanes, std::span<float> sum) {
  if (begun_) throw Error(ErrorKind::internal, "a sum over lanes is begun twice");
  const std::uint64_t elements = plan_.elements();
  for (const LaneValues& lane : lanes) {
    const bool ours =
        lane.lane.value() < root_.end && plan_.holder_of_lane[lane.lane.value()] == self_;
    if (ours && lane.values.size() == elements && lanes_.emplace(lane.lane, lane.values).second) {
      continue;
    }
    throw Error(ErrorKind::internal,
                fmt::format("a sum over lanes of {} elements gets {} of lane {}", elements,
                            lane.values.size(), lane.lane.value()));
  }
  if (lanes_.size() != plan_.lanes_of(self_).size() || sum.size() != elements) {
    throw Error(ErrorKind::internal,
                fmt::format("a sum over lanes gets {} of {} lanes, and room for {} of {} elements",
                            lanes_.size(), plan_.lanes_of(self_).size(), sum.size(), elements));
  }
  edge_bytes_.resize(codec_.lossless() ? 0 : codec_.encoded_size(largest_piece_).value());
  sum_ = sum;
  begun_ = true;
}

// The owner of whose chunk we have sent the least: all lines are in use until the end.
bool AllReduce::work() {
  if (!begun_) return false;
  const SubnormalMode mode(Subnormals::kept);
  const auto members = static_cast<std::uint32_t>(chunks_.size());
  std::optional<MemberIndex> next;
  for (std::uint32_t i = 1; i <= members; ++i) {
    const MemberIndex owner((self_.value() + i) % members);
    const Chunk& chunk = chunks_[owner.value()];
    if (chunk.sent == chunk.pieces || chunk.sent - chunk.summed >= plan_.window_pieces) continue;
    if (next) {
      const Chunk& best = chunks_[next->value()];
      if (std::uint64_t{chunk.sent} * best.pieces >= std::uint64_t{best.sent} * chunk.pieces) {
        continue;
      }
    }
    next = owner;
  }
  if (!next) return false;

  const std::uint32_t piece = chunks_[next->value()].sent++;
  const ElementRange elements = plan_.piece(*next, piece);
  for (const LaneRange& node : subtrees_[self_.value()]) {
    if (*next == self_) {
      add(piece, node, own_part(node, elements));
    } else {
      post_.send(*next, {PartKind::subtotal, node, piece},
                 encoded(node, elements, own_sum(node, elements, 0)));
    }
  }
  return true;
}

void AllReduce::arrived(MemberIndex from, const PartName& part, wire::Buffer bytes) {
  const SubnormalMode mode(Subnormals::kept);
  if (from.value() >= chunks_.size() || from == self_) {
    throw Error(ErrorKind::internal, fmt::format("{} from member {}, which is not another one",
                                                 to_string(part), from.value()));
  }
  switch (part.kind) {
    case PartKind::subtotal:
      return take_subtotal(from, part, std::move(bytes));
    case PartKind::total:
      return take_total(from, part, bytes);
  }
  refuse(from, part, fmt::format("its kind is {}", static_cast<unsigned>(part.kind)));
}

bool AllReduce::done() const {
  return begun_ && std::all_of(chunks_.begin(), chunks_.end(),
                               [](const Chunk& chunk) { return chunk.summed == chunk.pieces; });
}

std::vector<MemberIndex> AllReduce::awaited() const {
  const auto first = open_.find(own().summed);
  std::vector<MemberIndex> members;
  for (std::uint32_t m = 0; m < chunks_.size(); ++m) {
    if (m == self_.value()) continue;
    const auto missing = [&](const LaneRange& node) {
      return first == open_.end() || !first->second.arrived.contains(node);
    };
    const std::vector<LaneRange>& nodes = subtrees_[m];
    const bool subtotal =
        own().summed < own().pieces && std::any_of(nodes.begin(), nodes.end(), missing);
    const bool total = chunks_[m].summed < chunks_[m].sent;
    if (subtotal || total) members.emplace_back(m);
  }
  return members;
}

ByteCount AllReduce::most_held_bytes() const {
  std::uint64_t subtotals = 0;
  for (const auto& nodes : subtrees_) subtotals += nodes.size();
  const std::uint64_t pieces = std::min(plan_.window_pieces, own().pieces);
  const std::uint64_t largest = std::min(plan_.piece_elements, plan_.chunks[self_.value()].count);
  return ByteCount(pieces * subtotals * codec_.encoded_size(largest).value());
}

// --- what comes ---

std::uint64_t AllReduce::encoded_bytes(const ElementRange& elements) const {
  return codec_.encoded_size(elements.count).value();
}

void AllReduce::refuse(MemberIndex from, const PartName& part, const std::string& why) const {
  throw Error(ErrorKind::corrupt,
              fmt::format("{} from {}: {}", to_string(part), plan_.members[from.value()], why));
}

void AllReduce::check(MemberIndex from, const PartName& part, const wire::Buffer& bytes,
                      const ElementRange& elements) const {
  const auto flaw = codec_.flaw_of(bytes.bytes(), elements.count);
  if (flaw) refuse(from, part, *flaw);
}

void AllReduce::take_subtotal(MemberIndex from, const PartName& part, wire::Buffer bytes) {
  const Chunk& chunk = own();
  if (part.piece >= chunk.pieces) {
    refuse(from, part, fmt::format("our chunk has {} pieces", chunk.pieces));
  }
  const std::vector<LaneRange>& nodes = subtrees_[from.value()];
  if (std::find(nodes.begin(), nodes.end(), part.lanes) == nodes.end()) {
    refuse(from, part, "these are not the lanes of one of its subtotals");
  }
  if (chunk.here[part.piece]) return;
  const auto open = open_.find(part.piece);
  if (open != open_.end() && open->second.arrived.contains(part.lanes)) return;
  if (part.piece - chunk.summed >= plan_.window_pieces) {
    refuse(from, part,
           fmt::format("it is more than {} pieces ahead of piece {}, which is not summed",
                       plan_.window_pieces - 1, chunk.summed));
  }
  check(from, part, bytes, plan_.piece(self_, part.piece));
  add(part.piece, part.lanes, std::move(bytes));
}

void AllReduce::take_total(MemberIndex from, const PartName& part, const wire::Buffer& bytes) {
  Chunk& chunk = chunks_[from.value()];
  if (part.piece >= chunk.pieces) {
    refuse(from, part, fmt::format("its chunk has {} pieces", chunk.pieces));
  }
  if (part.lanes != root_) refuse(from, part, "a total is of " + to_string(root_));
  if (part.piece >= chunk.sent) refuse(from, part, "our subtotals of it are still to come");
  if (chunk.here[part.piece]) return;
  const ElementRange elements = plan_.piece(from, part.piece);
  check(from, part, bytes, elements);
  receive_total(chunk, part.piece, elements, bytes);
}

// --- adding ---

void AllReduce::add(std::uint32_t piece, LaneRange node, wire::Buffer bytes) {
  OpenPiece& open = open_[piece];
  open.arrived.insert(node);
  const ElementRange elements = plan_.piece(self_, piece);
  while (node != root_) {
    const LaneRange sibling = *sibling_of(root_, node);
    const auto other = open.waiting.find(sibling);
    if (other == open.waiting.end()) {
      held_bytes_ += bytes.size();
      open.waiting.emplace(node, std::move(bytes));
      return;
    }
    const LaneRange parent = *parent_of(root_, node);
    const bool left = node < sibling;
    bytes = sum_of(left ? bytes : other->second, left ? other->second : bytes, parent, elements);
    held_bytes_ -= other->second.size();
    open.waiting.erase(other);
    node = parent;
  }
  open_.erase(piece);
  finish(piece, bytes);
}

void AllReduce::finish(std::uint32_t piece, const wire::Buffer& bytes) {
  receive_total(own(), piece, plan_.piece(self_, piece), bytes);
  for (std::uint32_t m = 0; m < chunks_.size(); ++m) {
    if (m != self_.value()) post_.send(MemberIndex(m), {PartKind::total, root_, piece}, bytes);
  }
}

void AllReduce::receive_total(Chunk& chunk, std::uint32_t piece, const ElementRange& elements,
                              const wire::Buffer& bytes) {
  codec_.decode(bytes.bytes(), sum_.subspan(elements.first, elements.count));
  chunk.here[piece] = true;
  while (chunk.summed < chunk.pieces && chunk.here[chunk.summed]) ++chunk.summed;
}

wire::Buffer AllReduce::sum_of(const wire::Buffer& left, const wire::Buffer& right,
                               const LaneRange& node, const ElementRange& elements) {
  if (codec_.lossless()) {
    wire::MutableBuffer sum(encoded_bytes(elements));
    kernels().sum(left.data(), right.data(), sum.data(), elements.count);
    if (const auto flaw = codec_.flaw_of(sum.bytes(), elements.count)) {
      const std::span values(reinterpret_cast<const float*>(sum.data()), elements.count);
      not_finite(node, elements.first + first_not_finite(values).value_or(0));
    }
    return std::move(sum).freeze();
  }
  const std::span<float> values = scratch(0).first(elements.count);
  codec_.decode(left.bytes(), values);
  codec_.decode_add(right.bytes(), values);
  return encoded(node, elements, values);
}

std::span<const float> AllReduce::own_sum(const LaneRange& node, const ElementRange& elements,
                                          std::size_t depth) {
  if (node.count() == 1) {
    return lanes_.at(node.lowest()).subspan(elements.first, elements.count);
  }
  const LaneRange halves[] = {left_half(node), right_half(node)};
  const std::span<float> sum = scratch(depth).first(elements.count);
  if (codec_.lossless()) {
    const std::span<const float> left = own_sum(halves[0], elements, depth + 1);
    const std::span<const float> right = own_sum(halves[1], elements, depth + 2);
    kernels().sum(std::as_bytes(left).data(), std::as_bytes(right).data(),
                  std::as_writable_bytes(sum).data(), sum.size());
    return sum;
  }
  for (const LaneRange& half : halves) {
    const std::span<const float> values = own_sum(half, elements, depth + 1);
    const std::span<std::byte> bytes = std::span(edge_bytes_).first(encoded_bytes(elements));
    encode(half, elements, values, bytes);
    if (half == halves[0]) {
      codec_.decode(bytes, sum);
    } else {
      codec_.decode_add(bytes, sum);
    }
  }
  return sum;
}

// What nothing encodes need not be copied: a lane stays as it is until the piece is summed.
wire::Buffer AllReduce::own_part(const LaneRange& node, const ElementRange& elements) {
  const std::span<const float> values = own_sum(node, elements, 0);
  if (!codec_.lossless() || node.count() > 1 || node == root_) {
    return encoded(node, elements, values);
  }
  if (const auto bad = first_not_finite(values)) not_finite(node, elements.first + *bad);
  return wire::Buffer(nullptr, std::as_bytes(values));
}

void AllReduce::encode(const LaneRange& node, const ElementRange& elements,
                       std::span<const float> values, std::span<std::byte> out) {
  const std::span<float> residual =
      plan_.edges.feedback == 0 ? std::span<float>() : residuals_.of(node, elements);
  const auto bad = encode_edge(plan_.edges, values, residual, decoded_, out);
  if (bad) not_finite(node, elements.first + *bad);
}

wire::Buffer AllReduce::encoded(const LaneRange& node, const ElementRange& elements,
                                std::span<const float> values) {
  wire::MutableBuffer bytes(encoded_bytes(elements));
  encode(node, elements, values, bytes.bytes());
  return std::move(bytes).freeze();
}

// More depths may come; what was given out stays where it is.
std::span<float> AllReduce::scratch(std::size_t depth) {
  if (depth >= scratch_.size()) scratch_.resize(depth + 1);
  scratch_[depth].resize(largest_piece_);
  return scratch_[depth];
}

// Names the lane where it is one of ours.
void AllReduce::not_finite(const LaneRange& node, std::uint64_t element) const {
  std::string where = node.count() == 1 ? to_string(node) : "the sum of " + to_string(node);
  for (const auto& [lane, values] : lanes_) {
    if (!node.contains({lane.value(), lane.value() + 1})) continue;
    if (!first_not_finite(values.subspan(element, 1))) continue;
    where = to_string(LaneRange{lane.value(), lane.value() + 1});
    break;
  }
  throw Error(ErrorKind::corrupt,
              fmt::format("element {} of {}, at {}, is infinite or not a number", element, where,
                          plan_.members[self_.value()]),
              "the run has diverged: lower optim.lr, or clip with optim.clip_norm");
}

}  // namespace ptrain::reduce
