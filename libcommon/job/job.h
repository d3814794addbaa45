// A training job as a value: what job_file.h reads from TOML and every part of
// ptrain-stage works from. The keys are ptrain-job(5)'s; the defaults are here.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "libcommon/base/units.h"
#include "libcommon/job/model_config.h"
#include "libcommon/job/stage_layers.h"

namespace ptrain::job {

enum class OptimiserKind { adamw, muon };
enum class LearningRateSchedule { cosine, linear, constant };
enum class ComputePrecision { float32, bfloat16 };
enum class WireCodec { exact, fp32, bf16, int8 };
enum class PipelineSchedule { gpipe, one_f_one_b };
enum class Recompute { none, layer };
enum class CutBetween { layers, blocks };

struct DataConfig {
  std::vector<std::string> train;  // globs of token shards
  std::vector<std::string> val;
  std::int64_t seq_len = 0;         // tokens a sequence
  std::string tokenizer = "bytes";  // or the path of a SentencePiece model; for text in and out
};

struct BatchConfig {
  std::int64_t global = 0;  // sequences a step
  std::int64_t micro = 0;   // sequences a microbatch; divides global
  std::int64_t microbatches() const { return global / micro; }
};

struct TrainConfig {
  std::uint64_t steps = 0;
  std::uint64_t seed = 0;
  Recompute recompute = Recompute::none;
};

struct OptimConfig {
  OptimiserKind name = OptimiserKind::adamw;
  double lr = 1e-3;
  double momentum = 0.95;      // of hidden matrices under muon
  double ema = 0;              // decay of the averages of weights; 0: none
  std::uint64_t ema_from = 0;  // the step up to which they are the weights themselves
  double beta1 = 0.9;
  double beta2 = 0.95;
  double eps = 1e-8;
  double weight_decay = 0.1;
  double clip_norm = 1.0;  // global gradient norm; 0 means no clipping
  LearningRateSchedule schedule = LearningRateSchedule::cosine;
  std::uint64_t warmup_steps = 0;
  double min_lr_ratio = 0.1;  // of lr, reached at the last step
};

// pipeline.in_flight = "auto": chosen while the job runs.
inline constexpr std::int64_t kAutoInFlight = -1;

struct PipelineConfig {
  std::int64_t stages = 0;  // 0: as many as are started
  PipelineSchedule schedule = PipelineSchedule::one_f_one_b;
  std::int64_t in_flight = kAutoInFlight;  // microbatches stage 0 may hold; 0: as many as stages
  std::vector<StageLayers> layers;         // per stage; empty: balanced by cost
  CutBetween cut = CutBetween::layers;     // what the balance does not divide
  std::vector<StageLayers> borders;  // between which wire codecs act; empty: where stages meet
};

struct LanesConfig {
  std::int64_t count = 1;  // shares of a step's microbatches, at most as many as there are
  // Steps between two comparisons of what the holders of a stage hold; 0: at checkpoints only.
  std::uint64_t check_every = 100;
};

struct EvalConfig {
  std::uint64_t every = 0;     // steps; 0: only at the end
  std::int64_t sequences = 0;  // of the validation split; 0: all of it
};

inline constexpr std::uint64_t kDefaultCheckpointSeconds = 300;

// Both 0: only at the end.
struct CheckpointConfig {
  std::uint64_t every = 0;                            // steps; 0: not by steps
  std::uint64_t every_s = kDefaultCheckpointSeconds;  // by stage 0's clock; 0: not by time
  std::string dir = "ckpt";
};

struct Job {
  ModelConfig model;
  DataConfig data;
  BatchConfig batch;
  TrainConfig train;
  OptimConfig optim;
  ComputePrecision precision = ComputePrecision::float32;
  WireCodec wire_forward = WireCodec::exact;  // in a job that was read: one of the others
  WireCodec wire_backward = WireCodec::exact;
  PipelineConfig pipeline;
  LanesConfig lanes;
  EvalConfig eval;
  CheckpointConfig checkpoint;

  std::uint64_t tokens_per_step() const {
    return static_cast<std::uint64_t>(batch.global) * static_cast<std::uint64_t>(data.seq_len);
  }
};

// Whether what is done every so many steps, or never where that is 0, is done after that one.
inline bool due(std::uint64_t every, Step step) { return every > 0 && step.value() % every == 0; }

// The learning rate of the update that turns step `step` into `step` + 1. It rises linearly over
// the first warmup_steps updates, the last of which has lr (the run's first, where there is no
// warm-up), then follows the schedule down to min_lr_ratio * lr, which the run's last update has.
double learning_rate(const OptimConfig& optim, std::uint64_t step, std::uint64_t steps);

// The codec that a word stands for: exact for the smallest that loses nothing of what is computed.
WireCodec wire_codec(WireCodec codec, ComputePrecision precision);

// Canonical JSON of everything that decides the weights (not where the data or the
// checkpoints lie on this host), and its SHA-256 in hexadecimal: what stages compare at
// the handshake.
std::string canonical_json(const Job& job);
std::string job_hash(const Job& job);

// The hash of what a checkpoint must share with the job that resumes from it: the model,
// the data order, the optimiser. A longer run, another schedule or another cut may resume.
std::string resume_hash(const Job& job);

}  // namespace ptrain::job
