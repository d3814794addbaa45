// Pipeline schedules as values: what one stage does in one step, in order.
// Pure functions; the engine carries them out and the simulator judges them.
//
// In every schedule a stage runs its forwards in microbatch order and its
// backwards in microbatch order, so gradients add up in one order whatever the
// schedule is.

#pragma once

#include <cstdint>
#include <vector>

#include "libcommon/base/units.h"
#include "libcommon/job/job.h"

namespace ptrain::pipeline {

enum class Op { forward, backward };

struct Action {
  Op op = Op::forward;
  MicrobatchIndex microbatch;

  bool operator==(const Action&) const = default;
};

// gpipe: all forwards, then all backwards (Huang et al. 2019).
//
// one_f_one_b: forwards until the stage holds depth(stage) microbatches, then a backward and
// a forward in turn, then the backwards that are left (Narayanan et al. 2019, PipeDream).
//
// `in_flight` is one_f_one_b's depth at stage 0, and 0 means `stages`, the depth at which
// equal stages with fast links never wait; more depth hides more of the links' round trip
// (simulator.h: in_flight_for_round_trip). gpipe ignores it. Throws Error(internal) for a
// stage outside `stages`, no microbatch, or a negative depth.
std::vector<Action> schedule(job::PipelineSchedule kind, std::uint32_t stages, StageIndex stage,
                             std::uint32_t microbatches, std::int64_t in_flight);

// The most microbatches that `stage` holds at once under one_f_one_b: from in_flight at stage 0
// evenly down to 1 at the last stage, whose backward has nothing to wait for; at most
// `microbatches`.
//
// Why evenly: stage s + 1 does backward i after forward i + depth(s + 1) - 1, and stage s goes
// on to forward i + depth(s) after it. The difference of their depths is what is under way
// between them, and so what hides the round trip of their link. More depth at a late stage
// takes it from the links before it.
//
// Why no depth can deadlock: were depth(s + 1) greater than depth(s), stage s + 1 could ask for
// forward i before it did the backward that stage s needs first. Depths never grow from a
// stage to the next, so whatever a stage waits for, its neighbour can do.
std::uint32_t one_f_one_b_depth(std::uint32_t stages, StageIndex stage, std::uint32_t microbatches,
                                std::int64_t in_flight);

// The most microbatches whose forward is done and whose backward is not, at any point.
std::size_t peak_in_flight(const std::vector<Action>& actions);

}  // namespace ptrain::pipeline
