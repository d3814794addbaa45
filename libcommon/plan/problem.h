// A job on hosts, as numbers: what a planner chooses from, and what a choice is worth. Pure values;
// planner.h makes a problem from files, search.h looks for the best choice.
//
// What a choice is worth comes from the one simulator of libcommon/pipeline; quick_step_s() is a
// guess for those who look at millions of choices, and least_step_s() a bound that no choice beats.

#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "libcommon/job/job.h"
#include "libcommon/pipeline/simulator.h"
#include "libcommon/plan/block_kind.h"

namespace ptrain::plan {

// Of what is free on a host, the part that a plan may use.
inline constexpr double kUsableMemory = 0.9;
// What each neighbour may make a process hold: a message that is sent and one that is received,
// each once as it was computed and once as it crosses the link.
inline constexpr double kMessagesPerNeighbour = 4;

struct KindCost {
  double forward_s = 0;
  double backward_s = 0;
  double update_s = 0;
  double kept_bytes = 0;
  double deferred_bytes = 0;
};

struct HostCost {
  std::string name{};
  std::vector<PerKind<KindCost>> kinds{};  // by microbatch size, as Problem::micros
  double usable_bytes = 0;                 // without the program
  double out_bytes_per_s = 0;
  double in_bytes_per_s = 0;
  // Of a byte that crosses a border.
  double encode_forward_s = 0;
  double decode_forward_s = 0;
  double encode_backward_s = 0;
  double decode_backward_s = 0;
};

struct MicroCost {
  std::int64_t micro = 0;  // sequences
  std::uint32_t microbatches = 0;
  std::uint64_t forward_bytes = 0;  // over a border, of one microbatch
  std::uint64_t backward_bytes = 0;
};

struct WayCost {
  float round_trip_s = 0;
  float rate_bytes_per_s = 0;  // 0: they must not exchange anything
};

struct Problem {
  std::vector<BlockKind> blocks{};
  // Where stages may begin and end: 0, then places between blocks, then blocks.size(). What lies
  // between two of them is a unit; a stage holds one at least.
  std::vector<std::size_t> borders{};
  PerKind<double> state_bytes{};  // parameters, gradients, moments and the checkpoint's copy
  std::vector<MicroCost> micros{};
  std::vector<HostCost> hosts{};
  std::vector<WayCost> ways{};   // from * hosts.size() + to
  std::uint64_t tied_bytes = 0;  // exchanged each step by the first and the last stage
  job::PipelineSchedule schedule = job::PipelineSchedule::one_f_one_b;
  std::int64_t in_flight = job::kAutoInFlight;
  double tokens_per_step = 0;
  // Codecs act at every border, also where no stage ends: there one host encodes and decodes.
  bool codecs_act_inside = false;

  std::size_t units() const { return borders.size() - 1; }
  const WayCost& way(std::size_t from, std::size_t to) const {
    return ways[from * hosts.size() + to];
  }
};

// hosts[s] holds the units from ends[s - 1] (or 0) to ends[s].
struct Choice {
  std::size_t micro = 0;  // index into Problem::micros
  std::vector<std::uint32_t> hosts{};
  std::vector<std::uint32_t> ends{};

  bool operator==(const Choice&) const = default;
};

struct StageWorth {
  double forward_s = 0;  // of a microbatch, codecs included
  double backward_s = 0;
  double update_s = 0;
  double memory_bytes = 0;  // without the program
  std::uint32_t depth = 0;  // microbatches held at most
};

struct Worth {
  double step_s = 0;
  double makespan_s = 0;
  double verdict_s = 0;
  double update_s = 0;
  double tied_s = 0;
  std::int64_t in_flight = 0;  // at the first stage; 0: as many as there are stages
  std::vector<StageWorth> stages{};
};

// What spans of units cost on hosts, in constant time each.
class Costs {
 public:
  // Borrows the problem.
  explicit Costs(const Problem& problem);

  struct Span {
    double forward_s = 0;
    double backward_s = 0;
    double update_s = 0;
    double state_bytes = 0;
    double kept_bytes = 0;
    double deferred_bytes = 0;
    double work_s() const { return forward_s + backward_s; }
  };

  // Of the units [begin, end), without the codecs at their ends.
  Span span(std::size_t micro, std::size_t host, std::size_t begin, std::size_t end) const;
  // The forward and the backward of them, alone.
  double work_s(std::size_t micro, std::size_t host, std::size_t begin, std::size_t end) const;
  // Of a stage that holds them, without the program.
  double memory_bytes(std::size_t micro, std::size_t host, std::size_t begin, std::size_t end,
                      std::uint32_t depth) const;
  // What codecs add to a microbatch's forward and backward.
  double codec_forward_s(std::size_t micro, std::size_t host, bool first, bool last) const;
  double codec_backward_s(std::size_t micro, std::size_t host, bool first, bool last) const;
  // How many microbatches a stage holds at the least that the schedule can do with.
  std::uint32_t least_depth(std::size_t micro, std::size_t stages, std::size_t stage) const;

  const Problem& problem() const { return problem_; }

 private:
  // At which a stage that holds the units [begin, end) encodes and decodes for itself.
  double borders_inside(std::size_t begin, std::size_t end) const;

  const Problem& problem_;
  std::vector<PerKind<std::uint32_t>> before_;  // blocks of a kind before each border
};

// nullopt: a host has too little memory for its part, or two neighbours cannot exchange anything.
std::optional<Worth> worth_of(const Costs& costs, const Choice& choice);

// The same simulation's input, for those who change it and ask again.
pipeline::PipelineCost pipeline_cost(const Costs& costs, const Choice& choice);

// Whether every host has room for its part, and neighbours can exchange.
bool is_possible(const Costs& costs, const Choice& choice);
// About worth_of(...)->step_s; of a choice that is possible.
double quick_step_s(const Costs& costs, const Choice& choice);
// No more than worth_of(...)->step_s; of a choice that is possible.
double least_step_s(const Costs& costs, const Choice& choice);

}  // namespace ptrain::plan
