// What a run reports, as values. jsonl.h writes them; ptrain-stage(1) documents
// the fields.

#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace ptrain::metrics {

// One optimiser step. Byte counts are of this step.
struct StepRecord {
  std::uint64_t step = 0;  // steps done, this one included
  double loss = 0;         // nats per token, mean over the step's tokens
  double grad_norm = 0;    // global, before clipping
  double lr = 0;
  double tokens_per_s = 0;
  double step_s = 0;
  double compute_s = 0;           // in forward, backward and optimiser
  double wait_s = 0;              // for neighbours
  double wait_previous_s = 0;     // of it, for activations of the stage before
  double wait_next_s = 0;         // for gradients of the stage after
  double wait_lanes_s = 0;        // for others' share of the sum over lanes
  std::uint32_t in_flight = 0;    // microbatches that this stage held at most
  double checkpoint_stall_s = 0;  // training stood still for a checkpoint
  std::uint64_t tx_bytes = 0;     // everything on the wire, headers included
  std::uint64_t rx_bytes = 0;
  std::uint64_t tx_forward_bytes = 0;   // encoded activations sent
  std::uint64_t tx_backward_bytes = 0;  // encoded gradients sent
  std::uint64_t tied_bytes = 0;         // exchanged for a tied head, both directions
  std::uint64_t tx_lanes_bytes = 0;     // shares of the sum over lanes sent
  std::uint64_t rss_bytes = 0;          // of this process, now
};

// What a stage will hold, said at its start: of memory of the device that computes, without the
// program and its libraries.
struct MemoryRecord {
  std::uint64_t step = 0;  // the one that the run goes on from
  std::uint64_t needed_bytes = 0;
  std::uint64_t state_bytes = 0;       // parameters, gradients, moments
  std::uint64_t snapshot_bytes = 0;    // the copy that is saved
  std::uint64_t activation_bytes = 0;  // of the microbatches in flight
  std::string numerics_class{};        // which numbers this process computes
};

struct EvalRecord {
  std::uint64_t step = 0;
  double val_loss = 0;  // nats per token
  std::uint64_t sequences = 0;
};

// A checkpoint that has become durable, one step or several after the one it is of.
struct CheckpointRecord {
  std::uint64_t step = 0;
  std::string id;
  double save_s = 0;  // from the step boundary until then, behind the training
};

// A neighbour's messages have begun to take another path.
struct PathRecord {
  std::uint64_t step = 0;  // the last one that was done
  std::uint32_t peer = 0;  // a stage
  std::string path;        // "socks5://relay.example.net:7101"
  std::string route;       // direct, relayed, relayed 1
  std::string why;         // "direct is better"
  std::optional<double> round_trip_s;
  std::uint64_t changes = 0;  // from one route to another
  std::uint64_t reconnects = 0;
};

// What a step meant for one neighbour: what went there, and how long it was waited for.
struct LinkRecord {
  std::uint64_t step = 0;
  std::uint32_t peer = 0;                       // a stage
  std::uint64_t sent_bytes = 0;                 // that have arrived there in this step
  std::optional<double> goodput_bytes_per_s{};  // of them, while something was on its way
  std::uint64_t queued_bytes = 0;               // on their way when the step ended
  std::optional<double> round_trip_s{};         // of small messages, smoothed
  std::map<std::string, double> waits{};        // seconds, by what was waited for
};

struct DoneRecord {
  std::uint64_t steps = 0;
  std::optional<double> val_loss;  // none without validation data
  std::string weights_sha256;
  std::string checkpoint;  // its folder; empty when none was saved
  double train_s = 0;
  std::uint64_t tokens = 0;          // trained on, in this process's lifetime
  std::uint64_t peak_rss_bytes = 0;  // of this process
  std::string bottleneck{};          // in a sentence; empty where nothing stands out
};

}  // namespace ptrain::metrics
