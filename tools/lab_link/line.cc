#include "tools/lab_link/line.h"

#include <algorithm>

namespace ptrain::lab_link {
namespace {

// Twice the jitter from knot to knot: the delay then falls by at most half a second a second, so
// that no frame overtakes another and none has to wait for one.
constexpr int kKnotsPerJitter = 2;

Duration time_to_send(std::size_t bytes, std::uint64_t rate_bits_per_s) {
  return Duration(static_cast<std::int64_t>(static_cast<double>(bytes) * 8e9 /
                                            static_cast<double>(rate_bits_per_s)));
}

}  // namespace

Line::Line(const LineOptions& options)
    : options_(options),
      loss_(options.seed, options.name + " loss"),
      jitter_(options.seed, options.name + " jitter") {}

std::optional<TimePoint> Line::carry(TimePoint now, std::size_t bytes) {
  const auto sent = sent_at(now, bytes);
  if (!sent) return std::nullopt;
  // What is lost was sent: it took its time of the line.
  if (options_.loss > 0 && loss_.uniform() < options_.loss) return std::nullopt;
  last_arrival_ = std::max(last_arrival_, *sent + options_.delay + wander(*sent));
  return last_arrival_;
}

std::optional<TimePoint> Line::sent_at(TimePoint now, std::size_t bytes) {
  if (options_.rate_bits_per_s == 0) return now;
  const TimePoint begin = std::max(now, sender_free_);
  if (begin - now > options_.queue) return std::nullopt;
  sender_free_ = begin + time_to_send(bytes, options_.rate_bits_per_s);
  return sender_free_;
}

Duration Line::wander(TimePoint at) {
  if (options_.jitter == Duration{}) return {};
  const Duration apart = kKnotsPerJitter * options_.jitter;
  if (at - knot_ >= 2 * apart) {  // nothing came for that long: go on from here
    knot_ = at;
    at_knot_ = jitter_.uniform();
    at_next_knot_ = jitter_.uniform();
  } else if (at - knot_ >= apart) {
    knot_ += apart;
    at_knot_ = at_next_knot_;
    at_next_knot_ = jitter_.uniform();
  }
  const double share = seconds(at - knot_) / seconds(apart);
  const double value = at_knot_ + share * (at_next_knot_ - at_knot_);
  return Duration(static_cast<std::int64_t>(value * static_cast<double>(options_.jitter.count())));
}

}  // namespace ptrain::lab_link
