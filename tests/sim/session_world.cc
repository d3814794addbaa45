#include "tests/sim/session_world.h"

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/job/partition.h"
#include "libcommon/net/mesh.h"
#include "tests/crash/crash_storage.h"
#include "tests/sim/process.h"
#include "tests/sim/seeded_random.h"
#include "tests/sim/virtual_network.h"
#include "tests/sim/virtual_time.h"
#include "tools/stage/engine/mesh_post.h"

namespace ptrain::sim {
namespace {

using namespace std::chrono_literals;

constexpr int kMostLives = 40;
constexpr int kCalmFrom =
    15;  // later lives have good weather and nobody dies, so that every run ends
constexpr Duration kAppearWithin = 60s;
constexpr Duration kGoodbye = 10s;
constexpr Duration kLongest = std::chrono::hours(10);  // one life

std::string address_of(StageIndex number) { return fmt::format("127.0.0.{}", number.value() + 1); }
net::Endpoint endpoint_of(StageIndex number) {
  return net::parse_endpoint(fmt::format("tcp://{}:7001", address_of(number)));
}
StageIndex number_of(WorkerIndex worker) { return StageIndex(worker.value()); }

net::MeshOptions mesh_options(const stage::Place& place) {
  net::MeshOptions options;
  options.self = number_of(place.self());
  options.listen = endpoint_of(options.self);
  for (const WorkerIndex peer : stage::correspondents(place)) {
    options.peers.push_back({number_of(peer), endpoint_of(number_of(peer))});
  }
  options.speaks_for = [place](StageIndex number, const wire::MessageName& name) {
    return place.has_source(name) && place.sender(name) == WorkerIndex(number.value());
  };
  options.introduction = {
      .run = "static", .job_hash = "cafe", .stage_count = place.workers(), .data_fingerprint = ""};
  options.reconnect_timeout = 5s;
  options.outage_timeout = 20s;
  options.silence_timeout = 10s;
  options.low_water = kSendAhead;
  return options;
}

class SessionWorld;

// One process, its node, and what it is doing.
class Host {
 public:
  Host(SessionWorld& world, const stage::Place& place, os::Storage& storage, std::uint64_t seed);

  enum class State { appearing, working, leaving, gone };
  State state() const { return state_; }
  const stage::Place& place() const { return post_.place(); }
  Process& process() { return process_; }
  // Goes on as far as it can. Throws what must not be.
  void go_on();
  std::string under_way() const;

 private:
  void work();
  void leave(Duration linger, std::string why);
  void end_with(const Error& error);

  SessionWorld& world_;
  NullLog log_;
  VirtualLoop loop_;
  std::unique_ptr<net::Transport> transport_;
  SeededRandom random_;
  net::Mesh mesh_;
  stage::MeshPost post_;
  VirtualClock clock_;
  Process process_;
  State state_ = State::appearing;
  TimePoint began_;
  TimePoint leaves_until_{};
  std::string why_;  // it leaves; empty: as it should
};

class SessionWorld {
 public:
  SessionWorld(const WorldJob& job, const stage::JobData& data, const WorldOptions& options)
      : job_(job),
        data_(data),
        options_(options),
        spans_(job::partition(job.job, job.layout.grid().stages)),
        random_(options.seed * 2 + 1),
        network_(time_, random_()),
        results_(job.layout.workers()) {
    compute_ = std::chrono::microseconds(std::uniform_int_distribution<>(0, 20'000)(random_));
    for (std::uint32_t i = 0; i < job.layout.workers(); ++i) {
      disks_.push_back(std::make_unique<crash::CrashStorage>(crash::DiskImage{{"/run", nullptr}}));
    }
  }

  WorldResult run();

  // ---- For its hosts.
  VirtualTime& time() { return time_; }
  VirtualNetwork& network() { return network_; }
  const job::Job& job() const { return job_.job; }
  const job::StageSpan& span(StageIndex stage) const { return spans_[stage.value()]; }
  const stage::JobData* data_of(StageIndex stage) const {
    return span(stage).embedding || span(stage).head ? &data_ : nullptr;
  }
  bool faults() const { return options_.faults; }
  Duration around(Duration mean) {
    const double factor = std::min(20.0, std::exponential_distribution<>(1)(random_));
    return std::chrono::duration_cast<Duration>(mean * factor);
  }
  Duration compute_time() { return around(compute_); }
  bool evaluated(Step step) const { return (options_.seed + step.value()) % 2 == 0; }
  void deepened(std::uint32_t depth) { deepest_ = std::max(deepest_, depth); }
  std::uint32_t deepest() const { return deepest_; }
  void ended(WorkerIndex worker, std::string weights) {
    results_[worker.value()] = std::move(weights);
  }

 private:
  bool live();  // whether the job is done
  void plan_faults();
  void kill(std::size_t victim);
  [[noreturn]] void stuck() const;
  double chance() { return std::uniform_real_distribution<>(0, 1)(random_); }
  Duration up_to(Duration most) {
    return Duration(std::uniform_int_distribution<std::int64_t>(0, most.count())(random_));
  }

  WorldJob job_;
  const stage::JobData& data_;
  WorldOptions options_;
  std::vector<job::StageSpan> spans_;
  std::mt19937_64 random_;
  VirtualTime time_;
  VirtualNetwork network_;
  std::vector<std::unique_ptr<crash::CrashStorage>> disks_;
  std::vector<std::unique_ptr<Host>> hosts_;  // null: killed
  std::vector<std::optional<std::string>> results_;
  Duration compute_;
  std::uint32_t deepest_ = 0;
  int life_ = 0;
  int deaths_ = 0;
};

// ---- One host.

Host::Host(SessionWorld& world, const stage::Place& place, os::Storage& storage, std::uint64_t seed)
    : world_(world),
      loop_(world.time()),
      transport_(world.network().transport(loop_, address_of(number_of(place.self())))),
      random_(seed),
      mesh_(mesh_options(place), log_, world.time(),
            {.loop = loop_, .transport = *transport_, .random = random_}),
      post_(&mesh_, place, kSendAhead),
      process_({.job = world.job(),
                .span = world.span(place.stage()),
                .data = world.data_of(place.stage()),
                .post = post_,
                .storage = storage,
                .clock = clock_,
                .compute = [this] { clock_.set(clock_.now() + world_.compute_time()); },
                .evaluated = [this](Step step) { return world_.evaluated(step); },
                .deepened = [this](std::uint32_t depth) { world_.deepened(depth); }}),
      began_(world.time().now()) {}

void Host::go_on() {
  try {
    switch (state_) {
      case State::appearing:
        if (mesh_.peers_are_here()) {
          state_ = State::working;
          return work();
        }
        if (process_.told_to_stop()) return leave(1s, "told to stop");
        if (world_.time().now() - began_ < kAppearWithin) return;
        throw Error(ErrorKind::unavailable, mesh_.missing());
      case State::working:
        return work();
      case State::leaving:
        if (mesh_.close(0s) || world_.time().now() >= leaves_until_) state_ = State::gone;
        return;
      case State::gone:
        return;
    }
  } catch (const Error& error) {
    end_with(error);
  }
}

void Host::work() {
  const TimePoint now = world_.time().now();
  if (clock_.now() > now) return;  // it computes
  clock_.set(now);
  while (process_.turn()) {
    if (clock_.now() <= now) continue;
    world_.time().at(clock_.now(), [] {});  // a round for when it has computed
    return;
  }
  if (!process_.done()) {
    if (process_.told_to_stop()) world_.time().after(1s, [] {});  // to look at its clock
    return;
  }
  if (!process_.outcome().stopped) {
    if (const auto excess = process_.excess(world_.deepest())) {
      throw Error(ErrorKind::internal, *excess);
    }
    world_.ended(place().self(), process_.outcome().checkpoint.weights_sha256);
  }
  leave(kGoodbye, "");
}

void Host::leave(Duration linger, std::string why) {
  state_ = State::leaving;
  why_ = std::move(why);
  leaves_until_ = world_.time().now() + linger;
  world_.time().at(leaves_until_, [] {});
  why_.empty() ? void(mesh_.close(0s)) : mesh_.fail(why_);
}

// As `ptrain-stage run` ends: who has lost another one keeps its share.
void Host::end_with(const Error& error) {
  const bool abandoned = error.kind() == ErrorKind::try_again && process_.told_to_stop();
  if ((error.kind() != ErrorKind::unavailable && !abandoned) || !world_.faults()) throw;
  if (!abandoned) process_.part();
  leave(net::kFailureLinger, error.what());
}

std::string Host::under_way() const {
  switch (state_) {
    case State::appearing:
      return "waits for " + mesh_.missing();
    case State::working:
      return "waits for " + process_.waits_for();
    case State::leaving:
      return "takes its leave";
    case State::gone:
      break;
  }
  return "is gone";
}

// ---- All of them.

WorldResult SessionWorld::run() {
  while (!live()) {
    if (++life_ == kMostLives) throw Error(ErrorKind::internal, "the job never ends");
  }
  for (const auto& result : results_) {
    if (result == results_.front()) continue;
    throw Error(ErrorKind::internal, fmt::format("processes end with different checkpoints: {}, {}",
                                                 *results_.front(), *result));
  }
  return {.weights_sha256 = *results_.front(),
          .trace = network_.digest(),
          .events = network_.carried(),
          .deaths = deaths_,
          .virtual_s = seconds(time_.passed())};
}

// From the start of all processes to the end of the last of them.
bool SessionWorld::live() {
  std::ranges::fill(results_, std::nullopt);
  hosts_.clear();
  const bool stormy = options_.faults && life_ < kCalmFrom;
  network_.set_weather({});
  if (stormy) plan_faults();
  for (std::uint32_t i = 0; i < job_.layout.workers(); ++i) {
    const stage::Place place(WorkerIndex(i), job_.layout);
    const std::uint64_t seed = options_.seed * 1'000'003 + static_cast<std::uint64_t>(life_) * 997;
    hosts_.push_back(std::make_unique<Host>(*this, place, *disks_[i], seed + i));
  }
  const bool over = time_.run(kLongest, [this] {
    bool all_gone = true;
    for (const auto& host : hosts_) {
      if (!host) continue;
      host->go_on();
      all_gone = all_gone && host->state() == Host::State::gone;
    }
    return all_gone;
  });
  if (!over) stuck();
  return std::ranges::all_of(results_, [](const auto& result) { return result.has_value(); });
}

void SessionWorld::plan_faults() {
  constexpr std::array kLives{300ms, 2000ms, 20'000ms};
  network_.set_weather({.least_delay = 200us,
                        .most_delay = 200us + up_to(60ms),
                        .jitter = up_to(5ms),
                        .bytes_per_s = 100'000 + random_() % 10'000'000,
                        .mean_life = kLives[random_() % kLives.size()],
                        .silent = 0.2,
                        .refused = 0.1});
  const int life = life_;
  const std::uint32_t workers = job_.layout.workers();
  // What was planned for one set of lives is nothing to the next.
  const auto later = [this, life](Duration mean, std::function<void()> what) {
    time_.after(around(mean), [this, life, what = std::move(what)] {
      if (life_ == life) what();
    });
  };
  for (std::uint64_t parts = random_() % 3; parts > 0; --parts) {
    const StageIndex who(static_cast<std::uint32_t>(random_() % workers));
    const Duration length = up_to(random_() % 2 == 0 ? 8s : 500ms);
    later(4s, [this, who, length] { network_.part(address_of(who), length); });
  }
  if (chance() < 0.6) {
    const std::size_t victim = random_() % workers;
    later(4s, [this, victim] { kill(victim); });
  }
  if (chance() < 0.3) {
    const std::size_t one = random_() % workers;
    const bool all = chance() < 0.5;
    later(4s, [this, one, all] {
      for (std::size_t i = 0; i < hosts_.size(); ++i) {
        if (hosts_[i] && (all || i == one)) hosts_[i]->process().tell_to_stop();
      }
    });
  }
}

// Of the process alone, or of the machine: then its disk keeps what was durable, and what else it
// pleases.
void SessionWorld::kill(std::size_t victim) {
  if (!hosts_[victim]) return;
  ++deaths_;
  hosts_[victim]->process().await_disk();
  hosts_[victim].reset();
  if (chance() < 0.5) return;
  const auto states = disks_[victim]->model().crash_states(random_);
  disks_[victim] = std::make_unique<crash::CrashStorage>(states[random_() % states.size()]);
}

void SessionWorld::stuck() const {
  std::string who;
  for (const auto& host : hosts_) {
    if (!host || host->state() == Host::State::gone) continue;
    who += fmt::format("{}{} {}", who.empty() ? "" : "; ",
                       host->place().layout().called(host->place().self()), host->under_way());
  }
  throw Error(ErrorKind::internal, who);
}

}  // namespace

WorldResult run_session_world(const WorldJob& job, const stage::JobData& data,
                              const WorldOptions& options) {
  return SessionWorld(job, data, options).run();
}

}  // namespace ptrain::sim
