// How long a plan of many hosts takes, files included, and how it compares with what was planted
// among them:
//
//   bench_plan [HOSTS LAYERS SITES]...
//
// Without arguments: 1,000 hosts whose every pair was measured and 100 layers (200 blocks), then
// 10,000 hosts in 200 sites. A dozen hosts that compute well and have good links are planted; the
// others compute less well, over poor ones. A line each: seconds to read and to plan, the speed of
// the plan, and of the planted hosts in their order.

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "libcommon/plan/planner.h"
#include "tests/unit/plan/sample_files.h"

namespace {

using namespace ptrain;

constexpr std::size_t kPlanted = 12;

double between(std::mt19937_64& random, double least, double most) {
  return least + (most - least) * static_cast<double>(random() >> 11) / 9007199254740992.0;
}

struct Files {
  std::string links;
  std::string compute;
  std::string planted_compute;  // of the planted hosts alone
};

// With SITES 0 every pair has a measurement of its own; else pairs of sites have.
Files files_of(std::size_t hosts, std::size_t sites, const job::Job& job) {
  std::mt19937_64 random(hosts);
  plan::Links links{.time_s = 100};
  std::vector<bool> planted(hosts);
  Files files;
  for (std::size_t i = 0; i < kPlanted; ++i) planted[i * (hosts / kPlanted) + 3] = true;
  std::vector<std::string> chain;
  for (std::size_t i = 0; i < hosts; ++i) {
    const std::string name = fmt::format("h{}", i);
    plan::LinkedHost host{.name = name, .site = name, .time_s = 100};
    if (sites > 0) host.site = fmt::format("s{}", i % sites);
    host.out_bytes_per_s = planted[i] ? 5e7 : between(random, 1e6, 8e6);
    host.in_bytes_per_s = planted[i] ? 1e8 : between(random, 4e6, 4e7);
    links.hosts.push_back(host);
    const double forward_s =
        0.01 * (planted[i] ? between(random, 0.9, 1) : between(random, 1.3, 4));
    const std::string line = plan::compute_line(name, job, forward_s, "avx512", 16'000'000'000);
    files.compute += line;
    if (!planted[i]) continue;
    files.planted_compute += line;
    chain.push_back(name);
  }
  const auto add = [&](std::vector<plan::MeasuredWay>& ways, std::string from, std::string to,
                       bool good) {
    ways.push_back({.from = std::move(from),
                    .to = std::move(to),
                    .round_trip_s = good ? 0.01 : between(random, 0.04, 0.15),
                    .rate_bytes_per_s = good ? 4e7 : between(random, 1e6, 6e6),
                    .time_s = 100});
  };
  for (std::size_t i = 0; i + 1 < chain.size(); ++i) {
    add(links.pairs, chain[i], chain[i + 1], true);
    add(links.pairs, chain[i + 1], chain[i], true);
  }
  const auto is_link_of_chain = [&](std::size_t a, std::size_t b) {
    return planted[a] && planted[b] && std::max(a, b) - std::min(a, b) == hosts / kPlanted;
  };
  for (std::size_t a = 0; a < (sites > 0 ? sites : hosts); ++a) {
    for (std::size_t b = 0; b < (sites > 0 ? sites : hosts); ++b) {
      if (sites > 0) {
        add(links.sites, fmt::format("s{}", a), fmt::format("s{}", b), false);
      } else if (a != b && !is_link_of_chain(a, b)) {
        add(links.pairs, fmt::format("h{}", a), fmt::format("h{}", b), false);
      }
    }
  }
  files.links = plan::write_links(links);
  return files;
}

struct Timed {
  double read_s = 0;
  double plan_s = 0;
  std::optional<plan::PlanFile> plan;
};

Timed timed_plan(const std::string& links_text, const std::string& compute_text,
                 const job::Job& job) {
  const auto seconds_since = [](std::chrono::steady_clock::time_point begin) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  };
  Timed timed;
  const auto begin = std::chrono::steady_clock::now();
  const plan::Links links = plan::read_links(links_text, "links");
  const std::vector<plan::HostCompute> compute = plan::read_compute(compute_text, "compute");
  timed.read_s = seconds_since(begin);
  const auto read = std::chrono::steady_clock::now();
  timed.plan = plan::make_plan({.job = job, .links = links, .compute = compute}).plan;
  timed.plan_s = seconds_since(read);
  return timed;
}

int measure(std::size_t hosts, std::int64_t layers, std::size_t sites) {
  job::Job job = plan::sample_job(layers);
  job.batch.global = 32;
  // Messages of a megabyte, and a model that the planted hosts alone have room for.
  job.data.seq_len = 128;
  job.model.hidden_size = 2048;
  job.model.head_dim = 1024;
  const Files files = files_of(hosts, sites, job);
  const Timed all = timed_plan(files.links, files.compute, job);
  const Timed planted = timed_plan(files.links, files.planted_compute, job);
  if (!all.plan || !planted.plan) return 1;
  fmt::print(
      "{} hosts, {} blocks, {}: read in {:.2f} s, planned in {:.2f} s; {} hosts, {:.1f} "
      "tokens/s; of the planted ones alone {:.1f}: {:.3f}\n",
      hosts, 2 * layers, sites > 0 ? fmt::format("{} sites", sites) : "all pairs", all.read_s,
      all.plan_s, all.plan->view.size(), all.plan->tokens_per_s, planted.plan->tokens_per_s,
      all.plan->tokens_per_s / planted.plan->tokens_per_s);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 1) {
    const int first = measure(1000, 100, 0);
    return first + measure(10000, 100, 200);
  }
  for (int i = 1; i + 2 < argc; i += 3) {
    const auto number = [&](int at) { return std::strtoull(argv[i + at], nullptr, 10); };
    if (const int code = measure(number(0), static_cast<std::int64_t>(number(1)), number(2))) {
      return code;
    }
  }
  return 0;
}
