// Problems for a planner, drawn by seed: small ones that can be searched exhaustively, and large
// ones in which a good choice was planted.

#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "libcommon/plan/problem.h"

namespace ptrain::plan {

class Dice {
 public:
  explicit Dice(std::uint64_t seed) : random_(seed) {}

  double between(double least, double most) {
    return least + (most - least) * static_cast<double>(random_() >> 11) / 9007199254740992.0;
  }
  // Each octave as likely as the others.
  double spread(double least, double most) { return least * std::pow(most / least, between(0, 1)); }
  std::size_t below(std::size_t count) { return random_() % count; }

 private:
  std::mt19937_64 random_;
};

// A model of `layers` layers, cut between blocks or between layers.
inline Problem empty_problem(std::size_t layers, std::size_t blocks_a_unit,
                             std::uint32_t microbatches, std::uint64_t message_bytes) {
  Problem problem;
  problem.blocks.push_back(BlockKind::embedding);
  for (std::size_t i = 0; i < layers; ++i) {
    problem.blocks.push_back(BlockKind::attention);
    problem.blocks.push_back(BlockKind::mlp);
  }
  problem.blocks.push_back(BlockKind::head);
  problem.borders.push_back(0);
  for (std::size_t block = blocks_a_unit; block < 2 * layers; block += blocks_a_unit) {
    problem.borders.push_back(1 + block);
  }
  problem.borders.push_back(problem.blocks.size());
  problem.micros = {{.micro = 1,
                     .microbatches = microbatches,
                     .forward_bytes = message_bytes,
                     .backward_bytes = message_bytes}};
  problem.state_bytes = {1e9, 1e8, 2e8, 1e9};
  problem.tokens_per_step = 1000;
  return problem;
}

// `slowness`: 1 is a block of some 10 ms.
inline HostCost host_of(std::size_t number, double slowness, double usable_bytes, double out,
                        double in) {
  HostCost host{.name = "h" + std::to_string(number),
                .usable_bytes = usable_bytes,
                .out_bytes_per_s = out,
                .in_bytes_per_s = in};
  PerKind<KindCost> kinds;
  const PerKind<double> weight{0.2, 1, 1.5, 2};
  for (std::size_t kind = 0; kind < kBlockKinds; ++kind) {
    kinds[kind] = {.forward_s = 0.01 * slowness * weight[kind],
                   .backward_s = 0.02 * slowness * weight[kind],
                   .update_s = 0.002 * slowness,
                   .kept_bytes = 2e7,
                   .deferred_bytes = 0};
  }
  host.kinds = {kinds};
  host.encode_forward_s = host.decode_forward_s = host.encode_backward_s = host.decode_backward_s =
      2e-10;
  return host;
}

inline Problem random_problem(std::uint64_t seed, std::size_t hosts, std::size_t layers,
                              std::size_t blocks_a_unit) {
  Dice dice(seed);
  const auto microbatches = static_cast<std::uint32_t>(2 + dice.below(11));
  Problem problem = empty_problem(layers, blocks_a_unit, microbatches,
                                  static_cast<std::uint64_t>(dice.spread(1e4, 1e6)));
  if (dice.below(4) == 0) problem.schedule = job::PipelineSchedule::gpipe;
  if (dice.below(4) == 0) problem.in_flight = static_cast<std::int64_t>(dice.below(8));
  if (dice.below(4) == 0) problem.tied_bytes = 2'000'000;
  for (std::size_t i = 0; i < hosts; ++i) {
    // One after the other: compilers evaluate arguments in an order of their own.
    const double in = dice.spread(4e6, 1e8);
    const double out = dice.spread(1e6, 2e7);
    const double usable = dice.spread(1.5e9, 2e10);
    problem.hosts.push_back(host_of(i, dice.spread(0.3, 4), usable, out, in));
  }
  problem.ways.resize(hosts * hosts);
  for (std::size_t a = 0; a < hosts; ++a) {
    for (std::size_t b = a + 1; b < hosts; ++b) {
      const auto round_trip_s = static_cast<float>(dice.spread(0.002, 0.2));
      const bool fails = dice.below(12) == 0;
      for (const auto& [from, to] : {std::pair{a, b}, std::pair{b, a}}) {
        const auto rate = fails ? 0 : static_cast<float>(dice.spread(1e6, 5e7));
        problem.ways[from * hosts + to] = {round_trip_s, rate};
      }
    }
  }
  return problem;
}

struct Planted {
  Problem problem;
  std::vector<std::uint32_t> chain;  // the good hosts, in the order of the good links
};

// A dozen hosts that compute well and have good links, each to the next one, among many that
// compute less well and have poor ones.
inline Planted planted_problem(std::uint64_t seed, std::size_t hosts, std::size_t layers,
                               std::size_t good = 12) {
  Dice dice(seed);
  Planted planted{.problem = empty_problem(layers, 2, 32, 1'000'000), .chain = {}};
  Problem& problem = planted.problem;
  std::vector<std::uint32_t> numbers(hosts);
  std::iota(numbers.begin(), numbers.end(), 0U);
  for (std::size_t i = 0; i < good; ++i) {
    std::swap(numbers[i], numbers[i + dice.below(hosts - i)]);
    planted.chain.push_back(numbers[i]);
  }
  for (std::size_t i = 0; i < hosts; ++i) {
    const double in = dice.between(4e6, 4e7);
    const double out = dice.between(1e6, 8e6);
    problem.hosts.push_back(host_of(i, dice.between(1.3, 4), 4e10, out, in));
  }
  for (const std::uint32_t host : planted.chain) {
    problem.hosts[host] = host_of(host, dice.between(0.9, 1), 4e10, 5e7, 1e8);
  }
  problem.ways.resize(hosts * hosts);
  for (std::size_t a = 0; a < hosts; ++a) {
    for (std::size_t b = a + 1; b < hosts; ++b) {
      const auto round_trip_s = static_cast<float>(dice.between(0.04, 0.15));
      problem.ways[a * hosts + b] = {round_trip_s, static_cast<float>(dice.between(1e6, 6e6))};
      problem.ways[b * hosts + a] = {round_trip_s, static_cast<float>(dice.between(1e6, 6e6))};
    }
  }
  for (std::size_t i = 0; i + 1 < good; ++i) {
    const std::size_t a = planted.chain[i];
    const std::size_t b = planted.chain[i + 1];
    problem.ways[a * hosts + b] = problem.ways[b * hosts + a] = {0.01F, 4e7F};
  }
  return planted;
}

}  // namespace ptrain::plan
