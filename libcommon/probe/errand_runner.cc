#include "libcommon/probe/errand_runner.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/os/quiet_thread.h"

namespace ptrain::probe {
namespace {

using std::chrono::duration_cast;
using std::chrono::microseconds;

// What sessions have to say is heard so often while there is no errand.
constexpr Duration kIdleTurn = std::chrono::milliseconds(20);

microseconds bounded(Duration time) {
  return std::clamp(duration_cast<microseconds>(time), microseconds(0), wire::kMaxProbeTime);
}

wire::ProbeRoundTrips round_trips(const RoundTrips& from) {
  return {.count = static_cast<std::uint32_t>(from.count),
          .least = bounded(from.least),
          .median = bounded(from.median),
          .p99 = bounded(from.p99),
          .jitter = bounded(from.jitter)};
}

wire::ProbeWay way(const WayFigures& from) {
  wire::ProbeWay to{.coarse = from.coarse_bytes_per_s.value_or(0),
                    .limited_by = static_cast<std::uint8_t>(from.limited_by),
                    .bytes = from.bytes,
                    .time = bounded(from.time)};
  if (from.rate) {
    to.rate = from.rate->bytes_per_s;
    to.low = from.rate->low;
    to.high = from.rate->high;
    to.steady = from.rate->steady;
  }
  if (from.loaded) {
    to.loaded_median = bounded(from.loaded->median);
    to.loaded_p99 = bounded(from.loaded->p99);
  }
  return to;
}

}  // namespace

wire::ProbeMeasured measured(const LinkFigures& figures) {
  wire::ProbeMeasured result{.path = figures.path, .round_trips = round_trips(figures.idle)};
  if (figures.route) result.route = std::string(net::name_of(figures.route->kind));
  if (figures.to_peer) result.to_peer = way(*figures.to_peer);
  if (figures.from_peer) result.from_peer = way(*figures.from_peer);
  return result;
}

wire::ProbeMeasured failed(const std::string& why) { return {.failure = why}; }

ErrandRunner::ErrandRunner(net::Meeting meeting, net::KeyPair key, Log& log, const Clock& clock)
    : meeting_(std::move(meeting)), key_(std::move(key)), log_(log), clock_(clock) {
  thread_ = os::quiet_thread([this] { run(); });
}

ErrandRunner::~ErrandRunner() {
  ending_ = true;
  wake_.notify_all();
  thread_.join();
}

void ErrandRunner::seek(std::vector<std::string> names) {
  const std::lock_guard lock(mutex_);
  names_ = std::move(names);
  wake_.notify_all();
}

void ErrandRunner::begin(wire::ProbeErrand errand) {
  const std::lock_guard lock(mutex_);
  busy_ = true;
  abandoned_ = false;
  result_.reset();
  errand_ = std::move(errand);
  wake_.notify_all();
}

std::optional<wire::ProbeMeasured> ErrandRunner::take_result() {
  const std::lock_guard lock(mutex_);
  return std::exchange(result_, std::nullopt);
}

void ErrandRunner::finish(wire::ProbeMeasured result) {
  const std::lock_guard lock(mutex_);
  if (!abandoned_) result_ = std::move(result);
  busy_ = false;
}

// ---- The thread.

void ErrandRunner::run() {
  std::optional<LinkTest> test;
  while (!ending_) {
    std::optional<std::vector<std::string>> names;
    std::optional<wire::ProbeErrand> errand;
    {
      std::unique_lock lock(mutex_);
      if (!names_ && !errand_ && !test) {
        wake_.wait_for(lock, std::chrono::milliseconds(100));
      }
      names = std::exchange(names_, std::nullopt);
      errand = std::exchange(errand_, std::nullopt);
    }
    if (names) prepare(test, *names);
    if (errand) {
      work(test, *errand);
    } else if (test) {
      rest(test);
    }
  }
}

void ErrandRunner::prepare(std::optional<LinkTest>& test, const std::vector<std::string>& names) {
  test.reset();
  if (names.empty()) return;
  LinkTestOptions options;
  options.sought = SoughtPeer{.meeting = meeting_, .name = ""};
  options.others = names;
  options.key = key_;
  options.idle_echoes = kErrandEchoes;
  options.timeout = kErrandBesides;
  options.stop = [this] { return ending_ || (busy_ && (abandoned_ || clock_.now() >= until_)); };
  try {
    test.emplace(std::move(options), log_, clock_);
  } catch (const Error& error) {
    log_.warning(fmt::format("no errands: {}", error.what()));
  }
}

void ErrandRunner::rest(std::optional<LinkTest>& test) {
  try {
    test->idle_until(clock_.now() + kIdleTurn);
  } catch (const Error& error) {
    log_.warning(fmt::format("no more errands: {}", error.what()));
    test.reset();
  }
}

void ErrandRunner::work(std::optional<LinkTest>& test, const wire::ProbeErrand& errand) {
  if (!test) return finish(failed("it looks for no other server"));
  const Duration time = 2 * errand.limits.time + kErrandBesides;
  until_ = clock_.now() + time;
  try {
    test->aim(errand.to,
              {.limits = errand.limits, .to_peer = errand.to_peer, .from_peer = errand.from_peer});
    const auto figures = test->measure();
    test->give_up();
    if (figures) return finish(measured(*figures));
    finish(failed(fmt::format("not measured within {:.0f} s", seconds(time))));
  } catch (const Error& error) {
    test->give_up();
    wire::ProbeMeasured result = failed(error.what());
    result.busy = error.kind() == ErrorKind::try_again;
    finish(std::move(result));
  }
}

}  // namespace ptrain::probe
