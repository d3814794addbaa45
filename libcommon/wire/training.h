// What the stages of a job tell one another besides tensors, as values, and their
// Cap'n Proto encoding (schemas/training.capnp). Pure.
//
// Every decode_* checks what it reads and throws Error(corrupt) naming the message.

#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "libcommon/base/units.h"

namespace ptrain::wire {

// A stage's parameters in one report, and checkpoints in one offer, at most.
inline constexpr std::size_t kMaxReportedParameters = 65536;
inline constexpr std::size_t kMaxOfferedCheckpoints = 4096;
inline constexpr std::size_t kMaxReportedLanes = 4096;
inline constexpr std::size_t kMaxNumericsClassBytes = 64;

// Of what one stage sends to one neighbour.
struct SendingTime {
  double busy_s = 0;  // something was on its way, the round trip not counted
  std::uint64_t bytes = 0;
  double round_trip_s = 0;  // of a small message, smoothed

  bool operator==(const SendingTime&) const = default;
};

// Where a stage's time went, in all steps that its process has done. All 0: an earlier release.
struct StageTime {
  double step_s = 0;  // whole steps
  double compute_s = 0;
  double wait_previous_s = 0;  // for activations
  double wait_next_s = 0;      // for gradients
  SendingTime to_previous{};
  SendingTime to_next{};
  std::uint32_t most_in_flight = 0;  // microbatches that its memory holds; 0: not known

  bool operator==(const StageTime&) const = default;
};

struct StepReport {
  // Nats over the step's tokens, of each lane that the process holds, in their order; the last
  // stage's. Read from a message, it has one at least.
  std::vector<double> loss_sums{};
  std::vector<double> gradient_squares;  // sums of squares, one a parameter, canonical order
  bool stop_requested = false;
  std::string numerics_class{};    // of the process; in its first report only
  std::uint64_t state_digest = 0;  // of parameters and optimiser before the step; 0: not asked for
  StageTime time{};

  bool operator==(const StepReport&) const = default;
};

struct StepVerdict {
  double loss = 0;  // nats per token
  double gradient_norm = 0;
  double clip_factor = 1;
  bool stop = false;
  bool save = false;  // by the driver's clock; what is due by steps every stage knows
  std::uint32_t in_flight =
      0;  // of the first stage from the next step on, as in pipeline::schedule

  bool operator==(const StepVerdict&) const = default;
};

struct EvalReport {
  double loss_sum = 0;  // nats
  std::uint64_t tokens = 0;

  bool operator==(const EvalReport&) const = default;
};

struct CheckpointName {
  Step step;
  std::string id;  // empty: none

  bool operator==(const CheckpointName&) const = default;
};

struct ResumeOffer {
  std::vector<CheckpointName> checkpoints;
  // Whole files of ours, whether there is a manifest over all stages' or not; the id says of which
  // run they are.
  std::vector<CheckpointName> shares{};

  bool operator==(const ResumeOffer&) const = default;
};

struct ResumeChoice {
  CheckpointName checkpoint;
  std::uint32_t eval_batches = 0;  // in an evaluation; stages without data cannot count them
  std::string data_fingerprint{};  // of the training shards; for the checkpoints to come
  bool seal = false;               // all hold their shares of the step, which has no id so far
  std::uint32_t in_flight = 0;     // of the first stage, until a verdict says otherwise
  bool evaluate = false;           // before the first step: the run ended before it could
  std::string weights_sha256{};    // of the checkpoint; empty where it has no manifest so far

  bool operator==(const ResumeChoice&) const = default;
};

std::vector<std::byte> encode(const StepReport&);
std::vector<std::byte> encode(const StepVerdict&);
std::vector<std::byte> encode(const EvalReport&);
std::vector<std::byte> encode(const ResumeOffer&);
std::vector<std::byte> encode(const ResumeChoice&);

StepReport decode_step_report(std::span<const std::byte> bytes);
StepVerdict decode_step_verdict(std::span<const std::byte> bytes);
EvalReport decode_eval_report(std::span<const std::byte> bytes);
ResumeOffer decode_resume_offer(std::span<const std::byte> bytes);
ResumeChoice decode_resume_choice(std::span<const std::byte> bytes);

}  // namespace ptrain::wire
