// Whole pipelines on virtual time: for every seed a job (its stages, microbatches, schedule, how
// long everything takes, who dies when) must end with the weights that one process alone ends with,
// and the same seed must give the same trace.

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <exception>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <unistd.h>

#include "libcommon/base/error.h"
#include "libcommon/data/token_shard_writer.h"
#include "libcommon/os/storage.h"
#include "tests/sim/session_world.h"
#include "tests/sim/world.h"

namespace {

using namespace ptrain;

// Every this many seeds one is run twice.
constexpr std::uint64_t kRepeatEvery = 16;

struct Seeds {
  std::uint64_t first = 0;
  std::uint64_t last = 0;
};

std::optional<Seeds> parse_seeds(std::string_view text) {
  Seeds seeds;
  const char* end = text.data() + text.size();
  const auto first = std::from_chars(text.data(), end, seeds.first);
  if (first.ec != std::errc{} || first.ptr == end || *first.ptr != '-') return std::nullopt;
  const auto last = std::from_chars(first.ptr + 1, end, seeds.last);
  if (last.ec != std::errc{} || last.ptr != end || seeds.last < seeds.first) return std::nullopt;
  return seeds;
}

// A file of tokens that goes away with this.
class Shard {
 public:
  Shard() : path_(fmt::format("/tmp/ptrain-sim-{}.bin", ::getpid())) {
    std::vector<std::uint32_t> tokens(64);
    for (std::uint32_t i = 0; i < tokens.size(); ++i) tokens[i] = i % 16;
    data::TokenShardWriter writer(path_, data::TokenWidth::bits16);
    writer.append(tokens);
    os::PosixStorage storage;
    writer.commit(storage);
  }
  ~Shard() { std::filesystem::remove(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

job::Layout one_process(std::uint32_t lanes) {
  const job::CellGrid grid{.stages = 1, .lanes = lanes};
  return {grid, {grid.cells()}};
}

struct Totals {
  std::uint64_t events = 0;
  std::uint64_t deaths = 0;
  double virtual_s = 0;
};

// What is wrong; nullopt: nothing.
std::optional<std::string> run_seed(std::uint64_t seed, const std::string& shards, bool sessions,
                                    Totals& totals) {
  const auto run = sessions ? sim::run_session_world : sim::run_world;
  const sim::WorldJob job = sim::job_of(seed, shards);
  const stage::JobData data(job.job);
  std::string what =
      fmt::format("{} stages, {} lanes, {} processes, {} microbatches, {} steps",
                  job.layout.grid().stages, job.layout.grid().lanes, job.layout.workers(),
                  job.job.batch.microbatches(), job.job.train.steps);
  try {
    sim::WorldJob alone = job;
    alone.layout = one_process(job.layout.grid().lanes);
    const auto expected = sim::run_world(alone, data, {.seed = seed, .faults = false});
    const auto result = run(job, data, {.seed = seed, .faults = true});
    totals.events += result.events;
    totals.deaths += static_cast<std::uint64_t>(result.deaths);
    totals.virtual_s += result.virtual_s;
    if (result.weights_sha256 != expected.weights_sha256) {
      return what + ": other weights than one process alone ends with";
    }
    if (seed % kRepeatEvery == 0 &&
        run(job, data, {.seed = seed, .faults = true}).trace != result.trace) {
      return what + ": another trace the second time";
    }
  } catch (const std::exception& error) {
    return what + ": " + error.what();
  }
  return std::nullopt;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string_view> arguments(argv + std::min(argc, 3), argv + argc);
  const bool first = std::ranges::count(arguments, "--first") > 0;
  const bool sessions = std::ranges::count(arguments, "--sessions") > 0;
  const bool known = arguments.size() == (first ? 1u : 0u) + (sessions ? 1u : 0u);
  const bool named = known && argc >= 3 && std::strcmp(argv[1], "--seeds") == 0;
  const auto seeds = named ? parse_seeds(argv[2]) : std::nullopt;
  if (!seeds) {
    std::fputs(
        "usage: sim_pipelines --seeds FIRST-LAST [--sessions: over real sessions] "
        "[--first: end with one that fails]\n",
        stderr);
    return 2;
  }
  const Shard shard;
  Totals totals;
  int failures = 0;
  std::uint64_t seed = seeds->first;
  for (; seed <= seeds->last && !(first && failures > 0); ++seed) {
    const auto flaw = run_seed(seed, shard.path(), sessions, totals);
    if (!flaw) continue;
    ++failures;
    fmt::print("seed {}: {}\n  again: {} --seeds {}-{}{}\n", seed, *flaw, argv[0], seed, seed,
               sessions ? " --sessions" : "");
  }
  fmt::print("{} seeds, {} failed: {} events, {} deaths, {:.0f} h of virtual time\n",
             seed - seeds->first, failures, totals.events, totals.deaths, totals.virtual_s / 3600);
  return failures == 0 ? 0 : 1;
}
