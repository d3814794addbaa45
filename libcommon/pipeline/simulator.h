// Predicts one training step of a pipeline from the cost of its parts: how long
// it takes, who waits, and whether it ends at all. Pure: no clock, no thread.

#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <variant>
#include <vector>

#include "libcommon/base/units.h"
#include "libcommon/job/job.h"
#include "libcommon/pipeline/schedule.h"

namespace ptrain::pipeline {

// Of one microbatch; what a stage does to encode what it sends and to decode what it gets is part
// of its work. The rates are its host's way out and way in, each of which all messages take in
// turn, to and from whatever neighbour, as behind a home's router.
struct StageCost {
  double forward_s = 0;
  double backward_s = 0;
  double out_bytes_per_s = std::numeric_limits<double>::infinity();
  double in_bytes_per_s = std::numeric_limits<double>::infinity();
};

// Between stage s and s + 1. Each direction carries one message after the other, each taking
// bytes / bandwidth, and delivers it latency_s after its last byte left. A message is on the
// sender's way out, on the link and on the receiver's way in at once, and the slowest of the three
// sets its pace; each of them is free for the next message when it has carried this one.
struct LinkCost {
  double latency_s = 0;  // one way
  double bandwidth_bytes_per_s = std::numeric_limits<double>::infinity();
  std::uint64_t forward_bytes = 0;   // activations of one microbatch
  std::uint64_t backward_bytes = 0;  // their gradients
  // From stage s + 1 to s, where that is another rate.
  std::optional<double> backward_bandwidth_bytes_per_s{};

  double gradient_bytes_per_s() const {
    return backward_bandwidth_bytes_per_s.value_or(bandwidth_bytes_per_s);
  }
};

struct PipelineCost {
  std::vector<StageCost> stages;
  std::vector<LinkCost> links;  // one fewer than stages
  // What a stage sends to its two neighbours takes turns on one line that is as fast as the link.
  bool shared_uplinks = false;
};

struct StagePrediction {
  double busy_s = 0;
  std::size_t peak_in_flight = 0;  // microbatches held
};

struct Prediction {
  double makespan_s = 0;
  double bubble_fraction = 0;  // of stages x makespan, the part spent waiting
  std::vector<StagePrediction> stages;
};

// The first stage that can never go on, and what it was about to do.
struct Deadlock {
  StageIndex stage;
  Action waiting_for;
};

// Runs schedules[s] on stage s. Throws Error(internal) where the sizes do not match or an
// action names a microbatch that no other stage has.
std::variant<Prediction, Deadlock> simulate(const PipelineCost& cost,
                                            const std::vector<std::vector<Action>>& schedules);

// The same for a schedule of schedule.h on every stage.
std::variant<Prediction, Deadlock> simulate(const PipelineCost& cost, job::PipelineSchedule kind,
                                            std::uint32_t microbatches, std::int64_t in_flight);

// An in_flight at which no stage waits for a link's round trip: between two stages it keeps one
// microbatch under way for the work itself and enough for the slowest link's round trip, in
// units of the time that the slowest stage or link takes for one. The number of stages where
// links cost nothing; at most job::kMaxInFlight.
std::int64_t in_flight_for_round_trip(const PipelineCost& cost);

}  // namespace ptrain::pipeline
