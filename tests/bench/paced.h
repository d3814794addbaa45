// Look-ups at a steady rate from several threads, and how long each took.
//
// The rate does not wait for answers: a look-up that should have begun while its thread waited
// for the one before counts from when it should have. What the system's timer is late by does not
// count.

#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <exception>
#include <random>
#include <thread>
#include <vector>

#include <nlohmann/json.hpp>

#include "tests/bench/population.h"

namespace ptrain::bench {

struct Pace {
  double per_s = 200;  // of all threads
  double duration_s = 15;
  std::size_t threads = 4;
};

// Runs `body(thread)` on each, and throws what one of them threw.
template <class Body>
void on_threads(std::size_t count, Body body) {
  std::vector<std::thread> threads;
  std::vector<std::exception_ptr> failures(count);
  for (std::size_t i = 0; i < count; ++i) {
    threads.emplace_back([&, i] {
      try {
        body(i);
      } catch (...) {
        failures[i] = std::current_exception();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::exception_ptr& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
}

// A thread looks up for the members whose number among the first `members` peers is its own,
// modulo the number of threads: look_up(peer's number, where in its run) asks and checks, and
// idle(thread) is what it does before it waits.
template <class LookUp, class Idle>
std::vector<double> latencies_ms(const Pace& pace, const Population& population,
                                 std::size_t members, LookUp look_up, Idle idle) {
  using Clock = std::chrono::steady_clock;
  std::vector<std::vector<double>> taken(pace.threads);
  const auto gap = std::chrono::duration_cast<Clock::duration>(
      std::chrono::duration<double>(static_cast<double>(pace.threads) / pace.per_s));
  const auto count = static_cast<std::size_t>(pace.per_s * pace.duration_s) / pace.threads;
  const Clock::time_point first = Clock::now();
  on_threads(pace.threads, [&](std::size_t thread) {
    std::mt19937 random(static_cast<unsigned>(thread + 1));
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t member = random() % (members / pace.threads) * pace.threads + thread;
      const std::size_t run_size = population.run_of(population.peers[member]).members.size();
      // Small runs whole; a large one from anywhere on.
      const std::size_t from = run_size <= kLargestSmallRun ? 0 : random() % run_size;
      idle(thread);
      const Clock::time_point due =
          first + i * gap + thread * gap / static_cast<Clock::rep>(pace.threads);
      const bool late = Clock::now() > due;
      std::this_thread::sleep_until(due);
      const Clock::time_point begin = late ? due : Clock::now();
      look_up(member, from);
      taken[thread].push_back(
          std::chrono::duration<double, std::milli>(Clock::now() - begin).count());
    }
  });
  std::vector<double> all;
  for (const auto& some : taken) all.insert(all.end(), some.begin(), some.end());
  std::ranges::sort(all);
  return all;
}

inline double quantile(const std::vector<double>& sorted, double part) {
  if (sorted.empty()) return 0;
  return sorted[std::min(sorted.size() - 1,
                         static_cast<std::size_t>(part * static_cast<double>(sorted.size())))];
}

inline nlohmann::ordered_json summary_of(const std::vector<double>& sorted_ms) {
  return {{"look_ups", sorted_ms.size()},
          {"median_ms", quantile(sorted_ms, 0.5)},
          {"p99_ms", quantile(sorted_ms, 0.99)},
          {"max_ms", sorted_ms.empty() ? 0 : sorted_ms.back()}};
}

}  // namespace ptrain::bench
