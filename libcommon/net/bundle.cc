#include "libcommon/net/bundle.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "libcommon/net/zmq_parts.h"

namespace ptrain::net {
namespace {

std::uint64_t cost_of(const wire::Frame& frame) {
  const auto* data = std::get_if<wire::Data>(&frame);
  return frame_cost(data == nullptr ? 0 : data->payload.size());
}

std::uint64_t held_cost_of(const wire::Frame& frame) {
  return std::holds_alternative<wire::Data>(frame) ? cost_of(frame) : kHeldServiceCost;
}

FrameBytes operator+(const FrameBytes& a, const FrameBytes& b) {
  return {.payload = a.payload + b.payload, .overhead = a.overhead + b.overhead};
}

constexpr const char* kVanished = "one of its connections has vanished";

}  // namespace

Bundle::Bundle(PathId id, std::uint64_t number, const std::vector<Connection>& strands)
    : id_(id),
      number_(number),
      name_(strands.front().path->name()),
      route_(strands.front().path->route()) {
  if (strands.size() > 1) name_ += fmt::format(" ({} connections)", strands.size());
  for (const Connection& connection : strands) strands_.push_back({.connection = connection});
}

bool Bundle::contains(PathId strand) const {
  return std::ranges::any_of(strands_,
                             [&](const Strand& each) { return each.connection.id == strand; });
}

std::vector<PathId> Bundle::strand_ids() const {
  std::vector<PathId> ids;
  for (const Strand& strand : strands_) ids.push_back(strand.connection.id);
  return ids;
}

// ---- Out.

std::optional<FrameBytes> Bundle::send(const wire::Frame& frame, std::uint64_t) {
  const std::uint64_t ordinal = ++last_sent_;
  if (const auto* hello = std::get_if<wire::Hello>(&frame)) return greet(*hello, ordinal);
  waiting_.push_back({.frame = frame, .ordinal = ordinal, .cost = cost_of(frame)});
  if (!flush()) return std::nullopt;
  return std::exchange(sent_bytes_, {});
}

std::optional<FrameBytes> Bundle::greet(wire::Hello hello, std::uint64_t ordinal) {
  FrameBytes all;
  hello.strand = {.bundle = number_, .count = static_cast<std::uint8_t>(strands_.size())};
  for (Strand& strand : strands_) {
    const auto bytes = strand.connection.path->send(hello, ordinal);
    if (!bytes) return std::nullopt;
    all = all + *bytes;
    ++hello.strand.number;
  }
  return all;
}

bool Bundle::flush() {
  while (!waiting_.empty()) {
    Strand& idlest = *std::ranges::min_element(strands_, {}, &Strand::under_way);
    const Waiting& next = waiting_.front();
    if (idlest.under_way() > 0 && idlest.under_way() + next.cost > kStrandCost) return true;
    const auto bytes = idlest.connection.path->send(next.frame, next.ordinal);
    if (!bytes) return false;
    sent_bytes_ = sent_bytes_ + *bytes;
    idlest.sent += next.cost;
    waiting_.pop_front();
  }
  return true;
}

// ---- In.

std::optional<std::string> Bundle::take(PathId id, Arrival arrival, PathSink& sink) {
  const auto found =
      std::ranges::find(strands_, id, [](const Strand& strand) { return strand.connection.id; });
  if (found == strands_.end()) return std::nullopt;
  if (const auto* tally = std::get_if<wire::Tally>(&arrival.frame)) {
    tallies_received_ = tallies_received_ + arrival.bytes;
    return take_tally(*found, *tally);
  }
  if (arrival.ordinal == kNoOrdinal) return "a frame without its place in the bundle";
  if (!std::holds_alternative<wire::Hello>(arrival.frame) &&
      !count_arrival(*found, cost_of(arrival.frame))) {
    return kVanished;
  }
  if (arrival.ordinal < next_) return std::nullopt;  // the hello comes over every strand
  if (arrival.ordinal > next_) {
    if (std::holds_alternative<wire::Hello>(arrival.frame)) return "a hello that is not the first";
    const std::uint64_t cost = held_cost_of(arrival.frame);
    if (held_cost_ + cost > kHeldCost) {
      return fmt::format("frame {} is missing, and {} bytes that follow it are here", next_,
                         held_cost_);
    }
    if (held_.emplace(arrival.ordinal, std::move(arrival)).second) held_cost_ += cost;
    return std::nullopt;
  }
  deliver(std::move(arrival), sink);
  while (!held_.empty() && held_.begin()->first == next_) {
    Arrival next = std::move(held_.extract(held_.begin()).mapped());
    held_cost_ -= held_cost_of(next.frame);
    deliver(std::move(next), sink);
  }
  return std::nullopt;
}

std::optional<std::string> Bundle::take_tally(Strand& strand, const wire::Tally& tally) {
  if (tally.cost > strand.sent) {
    return fmt::format("{} bytes have arrived over a connection that was given {}", tally.cost,
                       strand.sent);
  }
  strand.delivered = std::max(strand.delivered, tally.cost);
  if (!flush()) return kVanished;
  return std::nullopt;
}

bool Bundle::count_arrival(Strand& strand, std::uint64_t cost) {
  strand.arrived += cost;
  if (strand.arrived - strand.tallied < kTallyCost) return true;
  strand.tallied = strand.arrived;
  const auto bytes = strand.connection.path->send(wire::Tally{.cost = strand.arrived}, kNoOrdinal);
  if (!bytes) return false;
  sent_bytes_ = sent_bytes_ + *bytes;
  return true;
}

void Bundle::deliver(Arrival arrival, PathSink& sink) {
  ++next_;
  arrival.bytes = arrival.bytes + std::exchange(tallies_received_, {});
  sink.arrived(id_, std::move(arrival));
}

}  // namespace ptrain::net
