#include "tests/sim/world.h"

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <queue>
#include <random>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/job/partition.h"
#include "tests/crash/crash_storage.h"
#include "tests/sim/process.h"

namespace ptrain::sim {
namespace {

using std::chrono::milliseconds;

constexpr int kMostLives = 60;
constexpr double kDuplicates = 0.02;                    // messages that come twice
constexpr Duration kLongest = std::chrono::hours(100);  // of virtual time, for one life

class World;

// The messages of one stage.
class WorldPost : public stage::Post {
 public:
  WorldPost(World& world, const stage::Place& place) : Post(place, kSendAhead), world_(world) {}

  using Post::send;
  void send(WorkerIndex to, wire::Message message) override;
  std::optional<stage::PostEvent> next(Duration) override {
    if (mail_.empty()) return std::nullopt;
    stage::PostEvent event = std::move(mail_.front());
    mail_.pop_front();
    return event;
  }
  ByteCount queued(WorkerIndex to) const override {
    const auto found = queued_.find(to);
    return found == queued_.end() ? ByteCount(0) : found->second;
  }
  std::vector<std::pair<WorkerIndex, net::Traffic>> traffic() const override;
  std::vector<net::LostLink> lost_links() const override { return {}; }
  void fail(std::string_view) override {}

  void put(stage::PostEvent event) { mail_.push_back(std::move(event)); }
  // It has arrived; whether there is room again that there was not.
  bool arrived(WorkerIndex to, ByteCount size) {
    const bool had_room = has_room(to);
    queued_[to] = ByteCount(queued_[to].value() - size.value());
    return !had_room && has_room(to);
  }

 private:
  World& world_;
  std::deque<stage::PostEvent> mail_;
  std::map<WorkerIndex, ByteCount> queued_;
};

struct Member {
  Member(World& world, const stage::Place& place, os::Storage& storage);

  VirtualClock clock;
  WorldPost post;
  Process process;
};

class World {
 public:
  World(const WorldJob& job, const stage::JobData& data, const WorldOptions& options);

  WorldResult run();

  const job::Job& job() const { return job_.job; }
  const job::StageSpan& span(StageIndex stage) const { return spans_[stage.value()]; }
  const stage::JobData* data_of(StageIndex stage) const {
    const job::StageSpan& held = span(stage);
    return held.embedding || held.head ? &data_ : nullptr;
  }
  void send(WorkerIndex from, WorkerIndex to, wire::Message message);
  // Exponential: mostly less than the mean, and sometimes much more.
  Duration around(Duration mean);
  Duration compute_time() { return around(compute_); }
  Duration round_trip() const { return 2 * delay_; }
  bool evaluated(Step step) const { return (seed_ + step.value()) % 2 == 0; }
  void deepened(std::uint32_t in_flight) { deepest_ = std::max(deepest_, in_flight); }

 private:
  struct Event {
    TimePoint at;
    std::uint64_t number = 0;  // of events at one time, the one that was planned first
    WorkerIndex stage;
    int life = 0;
    std::shared_ptr<stage::PostEvent> post;  // none: it is started, has computed, or dies
    bool dies = false;
    bool told_to_stop = false;
    std::optional<WorkerIndex> sender{};  // who hears that it has arrived
    ByteCount size{};
    bool operator>(const Event& other) const {
      return std::tie(at, number) > std::tie(other.at, other.number);
    }
  };

  bool live();  // whether the job is done
  void plan(TimePoint at, WorkerIndex stage, stage::PostEvent post);
  void plan_turn(TimePoint at, WorkerIndex stage) { push({at, 0, stage, life_, nullptr}); }
  void push(Event event) {
    event.number = next_++;
    events_.push(std::move(event));
  }
  void tell_sender(const Event& event);
  void handle(const Event& event);
  void turn(WorkerIndex stage);
  void end(WorkerIndex stage, const std::optional<Error>& loss);
  void kill(WorkerIndex stage);
  void note(std::uint64_t what) { trace_ = trace_ * 0x9e3779b97f4a7c15u + what; }
  [[noreturn]] void stuck() const;
  double chance() { return std::uniform_real_distribution<>(0, 1)(random_); }

  WorldJob job_;
  const stage::JobData& data_;
  WorldOptions options_;
  std::vector<job::StageSpan> spans_;
  std::mt19937_64 random_;
  std::vector<std::unique_ptr<crash::CrashStorage>> disks_;
  std::vector<std::unique_ptr<Member>> members_;  // null: not running
  std::vector<std::optional<std::string>> results_;
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
  std::map<std::tuple<WorkerIndex, WorkerIndex, wire::Urgency>, TimePoint> arrivals_;
  std::uint64_t seed_;
  std::uint32_t deepest_ = 0;  // that the driver has asked for
  Duration delay_;             // of a message, on average
  Duration compute_;           // of a microbatch
  TimePoint now_{};
  std::uint64_t next_ = 0;
  std::uint64_t handled_ = 0;
  std::uint64_t trace_ = 0;
  int life_ = 0;
  int deaths_ = 0;
};

crash::DiskImage empty_disk() { return {{"/run", nullptr}}; }

Error lost(WorkerIndex stage) {
  return Error(ErrorKind::unavailable, fmt::format("stage {} is lost", stage.value()));
}

// --- one process ---

Member::Member(World& world, const stage::Place& place, os::Storage& storage)
    : post(world, place),
      process({.job = world.job(),
               .span = world.span(place.stage()),
               .data = world.data_of(place.stage()),
               .post = post,
               .storage = storage,
               .clock = clock,
               .compute = [this, &world] { clock.set(clock.now() + world.compute_time()); },
               .evaluated = [&world](Step step) { return world.evaluated(step); },
               .deepened = [&world](std::uint32_t depth) { world.deepened(depth); }}) {}

void WorldPost::send(WorkerIndex to, wire::Message message) {
  queued_[to] = ByteCount(queued_[to].value() + message.payload.size());
  world_.send(place().self(), to, std::move(message));
}

std::vector<std::pair<WorkerIndex, net::Traffic>> WorldPost::traffic() const {
  std::vector<std::pair<WorkerIndex, net::Traffic>> all;
  for (const WorkerIndex peer : stage::correspondents(place())) {
    net::Traffic traffic;
    traffic.round_trip = world_.round_trip();
    all.emplace_back(peer, traffic);
  }
  return all;
}

// --- all of them ---

World::World(const WorldJob& job, const stage::JobData& data, const WorldOptions& options)
    : job_(job),
      data_(data),
      options_(options),
      spans_(job::partition(job.job, job.layout.grid().stages)),
      random_(options.seed * 2 + 1),
      results_(job.layout.workers()),
      seed_(options.seed) {
  delay_ = std::chrono::microseconds(std::uniform_int_distribution<>(0, 200'000)(random_));
  compute_ = std::chrono::microseconds(std::uniform_int_distribution<>(0, 50'000)(random_));
  for (std::uint32_t i = 0; i < job.layout.workers(); ++i) {
    disks_.push_back(std::make_unique<crash::CrashStorage>(empty_disk()));
  }
}

Duration World::around(Duration mean) {
  const double factor = std::min(20.0, std::exponential_distribution<>(1)(random_));
  return std::chrono::duration_cast<Duration>(mean * factor);
}

// In order after what was sent to it before, of that urgency.
void World::send(WorkerIndex from, WorkerIndex to, wire::Message message) {
  const TimePoint at = members_[from.value()] ? members_[from.value()]->clock.now() : now_;
  TimePoint& last = arrivals_[{from, to, wire::urgency_of(message.name.kind)}];
  last = std::max(last, at + around(delay_));
  const bool twice = options_.faults && chance() < kDuplicates;
  if (twice) plan(last + around(delay_), to, stage::Letter{message, {}});
  Event event{last, 0, to, life_, nullptr};
  event.sender = from;
  event.size = ByteCount(message.payload.size());
  event.post = std::make_shared<stage::PostEvent>(stage::Letter{std::move(message), {}});
  push(std::move(event));
}

void World::plan(TimePoint at, WorkerIndex stage, stage::PostEvent post) {
  push({at, 0, stage, life_, std::make_shared<stage::PostEvent>(std::move(post))});
}

WorldResult World::run() {
  while (!live()) {
    if (++life_ == kMostLives) throw Error(ErrorKind::internal, "the job never ends");
  }
  for (const auto& result : results_) {
    if (result == results_.front()) continue;
    throw Error(ErrorKind::internal, fmt::format("processes end with different checkpoints: {}, {}",
                                                 *results_.front(), *result));
  }
  return {.weights_sha256 = *results_.front(),
          .trace = trace_,
          .events = handled_,
          .deaths = deaths_,
          .virtual_s = seconds(now_.time_since_epoch())};
}

// From the start of all stages to the end of the last of them.
bool World::live() {
  events_ = {};
  arrivals_.clear();
  members_.clear();
  std::ranges::fill(results_, std::nullopt);
  for (std::uint32_t i = 0; i < job_.layout.workers(); ++i) {
    const WorkerIndex stage(i);
    members_.push_back(
        std::make_unique<Member>(*this, stage::Place(stage, job_.layout), *disks_[i]));
    plan_turn(now_ + around(milliseconds(500)), stage);
  }
  // Later lives are calmer, so that every run ends.
  if (options_.faults && life_ < 20 && chance() < 0.8) {
    const auto victim = WorkerIndex(static_cast<std::uint32_t>(random_() % job_.layout.workers()));
    push({now_ + around(std::chrono::seconds(4)), 0, victim, life_, nullptr, true});
  }
  // Somebody is told to stop, or everybody is; they look at their clocks when their time is over.
  if (options_.faults && life_ < 20 && chance() < 0.4) {
    const TimePoint at = now_ + around(std::chrono::seconds(4));
    const auto one = static_cast<std::uint32_t>(random_() % job_.layout.workers());
    const bool all = chance() < 0.5;
    for (std::uint32_t i = 0; i < job_.layout.workers(); ++i) {
      if (!all && i != one) continue;
      Event event{at, 0, WorkerIndex(i), life_, nullptr};
      event.told_to_stop = true;
      push(event);
    }
  }
  const TimePoint ends = now_ + kLongest;
  while (!events_.empty() && now_ < ends) {
    const Event event = events_.top();
    events_.pop();
    now_ = std::max(now_, event.at);
    ++handled_;
    note(event.stage.value() * 4 + (event.post ? 1 : 0) + (event.dies ? 2 : 0));
    note(static_cast<std::uint64_t>(event.at.time_since_epoch().count()));
    tell_sender(event);
    if (members_[event.stage.value()]) handle(event);
  }
  if (std::ranges::any_of(members_, [](const auto& member) { return member != nullptr; })) {
    stuck();
  }
  return std::ranges::all_of(results_, [](const auto& result) { return result.has_value(); });
}

void World::tell_sender(const Event& event) {
  if (!event.sender || !members_[event.sender->value()]) return;
  if (!members_[event.sender->value()]->post.arrived(event.stage, event.size)) return;
  plan(now_ + around(delay_), *event.sender, stage::Room{event.stage});
}

void World::handle(const Event& event) {
  if (event.dies) return kill(event.stage);
  Member& member = *members_[event.stage.value()];
  if (event.told_to_stop) member.process.tell_to_stop();
  if (event.post) member.post.put(std::move(*event.post));
  if (member.clock.now() > now_) return;  // it computes still, and has a turn planned for its end
  member.clock.set(now_);
  turn(event.stage);
}

void World::turn(WorkerIndex stage) {
  Member& member = *members_[stage.value()];
  Process& process = member.process;
  try {
    while (process.turn()) {
      if (member.clock.now() > now_) return plan_turn(member.clock.now(), stage);
    }
    if (!process.done()) {
      // It looks at its clock from time to time, however long nothing comes.
      if (process.told_to_stop()) plan_turn(now_ + std::chrono::seconds(1), stage);
      return;
    }
  } catch (const Error& error) {
    const bool abandoned = error.kind() == ErrorKind::try_again && process.told_to_stop();
    if ((error.kind() != ErrorKind::unavailable && !abandoned) || !options_.faults) throw;
    if (!abandoned) process.part();
    return end(stage, error);
  }
  if (process.outcome().stopped) return end(stage, std::nullopt);
  if (const auto excess = process.excess(deepest_)) throw Error(ErrorKind::internal, *excess);
  results_[stage.value()] = process.outcome().checkpoint.weights_sha256;
  end(stage, std::nullopt);
}

// What it sent arrives, and after it that it is gone.
void World::end(WorkerIndex stage, const std::optional<Error>& loss) {
  members_[stage.value()].reset();
  for (const WorkerIndex other : stage::correspondents(stage::Place(stage, job_.layout))) {
    TimePoint last = now_;
    for (const wire::Urgency urgency : wire::kAllUrgencies) {
      last = std::max(last, arrivals_[{stage, other, urgency}]);
    }
    plan(last + around(delay_) + milliseconds(1), other,
         stage::Gone{stage, loss ? std::optional(lost(stage)) : std::nullopt});
  }
}

// Of the process alone, or of the machine: then its disk keeps what was durable, and what else it
// pleases.
void World::kill(WorkerIndex stage) {
  ++deaths_;
  members_[stage.value()]->process.await_disk();
  end(stage, lost(stage));
  crash::CrashStorage& disk = *disks_[stage.value()];
  if (chance() < 0.5) return;
  const auto states = disk.model().crash_states(random_);
  disks_[stage.value()] = std::make_unique<crash::CrashStorage>(states[random_() % states.size()]);
}

void World::stuck() const {
  std::string who;
  for (const auto& member : members_) {
    if (!member) continue;
    who += fmt::format("{}{} waits for {}", who.empty() ? "" : "; ", member->process.called(),
                       member->process.waits_for());
  }
  throw Error(ErrorKind::internal, who);
}

}  // namespace

// Each stage's lanes, dealt at random to as many processes as it happens.
job::Layout dealt(job::CellGrid grid, std::mt19937_64& random) {
  std::vector<std::vector<job::CellIndex>> workers;
  for (std::uint32_t stage = 0; stage < grid.stages; ++stage) {
    std::vector<std::vector<job::CellIndex>> holders(1 + random() % grid.lanes);
    for (std::uint32_t lane = 0; lane < grid.lanes; ++lane) {
      holders[random() % holders.size()].push_back({StageIndex(stage), LaneIndex(lane)});
    }
    std::erase_if(holders, [](const auto& cells) { return cells.empty(); });
    workers.insert(workers.end(), holders.begin(), holders.end());
  }
  return {grid, workers};
}

WorldJob job_of(std::uint64_t seed, const std::string& shards) {
  std::mt19937_64 random(seed * 2);
  const auto between = [&](int low, int high) {
    return std::uniform_int_distribution<>(low, high)(random);
  };
  WorldJob world;
  job::Job& job = world.job;
  auto stages = static_cast<std::uint32_t>(between(1, 16));
  const bool inside = between(0, 2) == 0;  // a layer a cut may fall
  job.model = {.vocab_size = 16,
               .hidden_size = 2,
               .intermediate_size = 2,
               .num_hidden_layers = static_cast<int>(stages + 1) / (inside ? 2 : 1) + between(0, 3),
               .num_attention_heads = 1,
               .num_key_value_heads = 1,
               .head_dim = 2,
               .max_position_embeddings = 4,
               .tie_word_embeddings = between(0, 3) == 0};
  job.data = {.train = {shards}, .val = {}, .seq_len = 4};
  if (between(0, 1) == 0) job.data.val = {shards};
  job.batch = {.global = between(1, 12), .micro = 1};
  job.train = {.steps = static_cast<std::uint64_t>(between(1, 8)), .seed = seed};
  job.pipeline.cut = inside ? job::CutBetween::blocks : job::CutBetween::layers;
  job.pipeline.schedule =
      between(0, 3) == 0 ? job::PipelineSchedule::gpipe : job::PipelineSchedule::one_f_one_b;
  if (job.pipeline.schedule == job::PipelineSchedule::one_f_one_b) {
    job.pipeline.in_flight = between(-1, 1) * between(1, 20);
    job.pipeline.in_flight = std::max(job.pipeline.in_flight, job::kAutoInFlight);
  }
  job.eval = {.every = static_cast<std::uint64_t>(between(0, 3)), .sequences = between(1, 5)};
  job.checkpoint = {.every = static_cast<std::uint64_t>(between(0, 1) * between(2, 5)),
                    .every_s = static_cast<std::uint64_t>(between(0, 1) * between(1, 9)),
                    .dir = "/run/ckpt"};
  // Half of the jobs have lanes, of fewer stages.
  if (between(0, 1) == 0) {
    job.lanes = {.count = std::min<std::int64_t>(between(1, 6), job.batch.global),
                 .check_every = static_cast<std::uint64_t>(between(0, 3))};
    stages = std::min(stages, 1 + stages % 4);
  }
  world.layout =
      dealt({.stages = stages, .lanes = static_cast<std::uint32_t>(job.lanes.count)}, random);
  return world;
}

WorldResult run_world(const WorldJob& job, const stage::JobData& data,
                      const WorldOptions& options) {
  return World(job, data, options).run();
}

}  // namespace ptrain::sim
