#include "libcommon/job/job_keys.h"

#include <algorithm>
#include <limits>
#include <type_traits>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "libcommon/job/lanes.h"
#include "libcommon/job/time_span.h"

namespace ptrain::job {
namespace {

using nlohmann::json;

// How the rest of an entry is told apart from its type: who, what if absent, what for.
struct About {
  const char* name;
  const char* fallback;  // kRequired, kOwn, or where the value comes from
  KeyScope scope;
  const char* meaning;
};

constexpr const char* kRequired = "required";
constexpr const char* kOwn = "";  // what a default-constructed Job has

// The field of a Job at the end of a path of member pointers.
template <auto... path>
auto& field(Job& job) {
  return (job.*....*path);
}
template <auto... path>
const auto& field(const Job& job) {
  return (job.*....*path);
}

template <auto... path>
using FieldOf = std::remove_cvref_t<decltype(field<path...>(std::declval<Job&>()))>;

JobKey entry(const About& about, const char* type, std::string allowed) {
  JobKey key;
  key.name = about.name;
  key.type = type;
  key.allowed = std::move(allowed);
  key.fallback = about.fallback;
  key.meaning = about.meaning;
  key.required = key.fallback == kRequired;
  key.scope = about.scope;
  return key;
}

// Fills in `read`, and the default's text where it is the Job's own.
JobKey finished(JobKey key, std::function<json(const Job&)> read) {
  key.read = std::move(read);
  if (key.fallback.empty()) key.fallback = key.read(Job{}).dump();
  return key;
}

template <auto... path>
JobKey integer(const About& about, const IntegerRange& range) {
  JobKey key = entry(about, "integer", text_of(range));
  key.integer_range = range;
  key.assign = [range](Job& job, const json& value) -> Problem {
    if (auto problem = check_integer(range, value)) return problem;
    field<path...>(job) = static_cast<FieldOf<path...>>(value.get<std::int64_t>());
    return std::nullopt;
  };
  return finished(std::move(key), [](const Job& job) { return json(field<path...>(job)); });
}

template <auto... path>
JobKey number(const About& about, const NumberRange& range) {
  JobKey key = entry(about, "number", text_of(range));
  key.number_range = range;
  key.assign = [range](Job& job, const json& value) -> Problem {
    if (auto problem = check_number(range, value)) return problem;
    field<path...>(job) = value.get<double>();
    return std::nullopt;
  };
  return finished(std::move(key), [](const Job& job) { return json(field<path...>(job)); });
}

template <auto... path>
JobKey boolean(const About& about) {
  JobKey key = entry(about, "boolean", "true or false");
  key.assign = [](Job& job, const json& value) -> Problem {
    if (!value.is_boolean()) return expected("true or false", value);
    field<path...>(job) = value.get<bool>();
    return std::nullopt;
  };
  return finished(std::move(key), [](const Job& job) { return json(field<path...>(job)); });
}

// `names` in the order of the enumerators, which count from 0.
template <auto... path>
JobKey choice(const About& about, const std::vector<std::string>& names) {
  JobKey key = entry(about, "string", fmt::format("\"{}\"", fmt::join(names, "\" or \"")));
  key.assign = [names, allowed = key.allowed](Job& job, const json& value) -> Problem {
    if (!value.is_string()) return expected("a string", value) + ": " + allowed;
    const auto found = std::find(names.begin(), names.end(), value.get_ref<const std::string&>());
    if (found == names.end()) return "must be " + allowed;
    field<path...>(job) = static_cast<FieldOf<path...>>(found - names.begin());
    return std::nullopt;
  };
  return finished(std::move(key), [names](const Job& job) {
    return json(names.at(static_cast<std::size_t>(field<path...>(job))));
  });
}

// Of a key that there was not always: see JobKey::canonical.
JobKey younger(JobKey key) {
  key.canonical = [read = key.read, usual = key.read(Job{})](const Job& job) {
    json value = read(job);
    return value == usual ? json() : value;
  };
  return key;
}

// What crosses is what the stages must agree on, whatever word asked for it: the hash has the codec
// that `exact` stands for, and so jobs that name a codec, and those that never did and compute in
// float32, keep the hash that they had before there was the word.
template <auto path>
JobKey codec(const About& about) {
  JobKey key = choice<path>(about, {"exact", "fp32", "bf16", "int8"});
  key.canonical = [read = key.read](const Job& job) {
    Job resolved = job;
    resolved.*path = wire_codec(job.*path, job.precision);
    return read(resolved);
  };
  return key;
}

template <auto... path>
JobKey text(const About& about, const char* allowed) {
  JobKey key = entry(about, "string", allowed);
  key.assign = [](Job& job, const json& value) -> Problem {
    if (auto problem = check_text(value)) return problem;
    field<path...>(job) = value.get<std::string>();
    return std::nullopt;
  };
  return finished(std::move(key), [](const Job& job) { return json(field<path...>(job)); });
}

template <auto... path>
JobKey globs(const About& about) {
  JobKey key = entry(about, "string or array of strings", "globs of files");
  key.assign = [](Job& job, const json& value) -> Problem {
    const json list = value.is_array() ? value : json::array({value});
    if (list.size() > kMaxGlobs) return fmt::format("must be at most {} globs", kMaxGlobs);
    for (const json& item : list) {
      if (auto problem = check_text(item)) return problem;
    }
    field<path...>(job) = list.get<std::vector<std::string>>();
    return std::nullopt;
  };
  return finished(std::move(key), [](const Job& job) { return json(field<path...>(job)); });
}

JobKey betas(const About& about) {
  static constexpr NumberRange kRange{.min = 0, .max = 1, .at_max = Bound::excluded};
  JobKey key = entry(about, "array of two numbers", "each " + text_of(kRange));
  key.assign = [](Job& job, const json& value) -> Problem {
    if (!value.is_array() || value.size() != 2) return "expected two numbers, [beta1, beta2]";
    for (const json& beta : value) {
      if (auto problem = check_number(kRange, beta)) return "each " + *problem;
    }
    job.optim.beta1 = value[0].get<double>();
    job.optim.beta2 = value[1].get<double>();
    return std::nullopt;
  };
  return finished(std::move(key), [](const Job& job) {
    return json::array({job.optim.beta1, job.optim.beta2});
  });
}

// Whole layers are numbers, as they were before cuts could fall inside a layer, however they were
// written: the same cut has the same hash.
json stage_layers_json(const StageLayers& layers) {
  return layers == StageLayers(layers.whole) ? json(layers.whole) : json(text_of(layers));
}

template <auto path>
JobKey stage_layers(const About& about) {
  static constexpr IntegerRange kRange{1, kMaxLayers};
  JobKey key = entry(about, "array of integers and strings",
                     "one a stage, 3 or \"3+attention\" or \"mlp+3\", that add up to "
                     "model.num_hidden_layers");
  key.assign = [](Job& job, const json& value) -> Problem {
    if (!value.is_array()) return expected("an array", value);
    if (value.size() > kBlocksPerLayer * static_cast<std::size_t>(kMaxLayers)) {
      return fmt::format("must be at most {} stages", kBlocksPerLayer * kMaxLayers);
    }
    std::vector<StageLayers> stages;
    for (const json& each : value) {
      if (!each.is_string()) {
        if (auto problem = check_integer(kRange, each)) return "each " + *problem;
        stages.emplace_back(each.get<std::int64_t>());
        continue;
      }
      const auto layers = parse_stage_layers(each.get_ref<const std::string&>(), kMaxLayers);
      if (!layers) {
        return fmt::format(
            "{}: must be a number of layers with \"mlp+\" before it, "
            "\"+attention\" after it, or one of these parts alone",
            shown(each));
      }
      stages.push_back(*layers);
    }
    if (auto open = open_cut(stages)) return open;
    job.pipeline.*path = std::move(stages);
    return std::nullopt;
  };
  return finished(std::move(key), [](const Job& job) {
    json list = json::array();
    for (const StageLayers& layers : job.pipeline.*path) list.push_back(stage_layers_json(layers));
    return list;
  });
}

// Steps, or a time. By time the first stage decides for all, so the hash need not know it as long
// as it is the default: jobs that do not name the key keep the hash that they had before there was
// a default.
JobKey save_interval(const About& about) {
  static constexpr IntegerRange kSteps{0, kMaxSteps};
  JobKey key = entry(about, "integer or string",
                     fmt::format("{} steps, or a time of 1s to {} such as \"90s\"", text_of(kSteps),
                                 time_span_text(kMaxCheckpointSeconds)));
  key.integer_range = kSteps;
  key.assign = [allowed = key.allowed](Job& job, const json& value) -> Problem {
    if (!value.is_string()) {
      if (check_integer(kSteps, value)) return "must be " + allowed;
      job.checkpoint.every = value.get<std::uint64_t>();
      job.checkpoint.every_s = 0;
      return std::nullopt;
    }
    const auto span = parse_time_span(value.get_ref<const std::string&>());
    if (!span || *span == 0 || *span > kMaxCheckpointSeconds) return "must be " + allowed;
    job.checkpoint.every = 0;
    job.checkpoint.every_s = *span;
    return std::nullopt;
  };
  const auto read = [](const Job& job) {
    const CheckpointConfig& checkpoint = job.checkpoint;
    return checkpoint.every_s > 0 ? json(time_span_text(checkpoint.every_s))
                                  : json(checkpoint.every);
  };
  key.canonical = [read](const Job& job) {
    return job.checkpoint.every_s == kDefaultCheckpointSeconds ? json(0) : read(job);
  };
  return finished(std::move(key), read);
}

// A number, or "auto". It changes no bit and the first stage decides for all, so "auto" has the
// hash of 0, which was the default before it.
JobKey in_flight(const About& about) {
  static constexpr IntegerRange kRange{0, kMaxInFlight};
  JobKey key = entry(about, "integer or string", text_of(kRange) + ", or \"auto\"");
  key.integer_range = kRange;
  key.assign = [allowed = key.allowed](Job& job, const json& value) -> Problem {
    if (value == "auto") {
      job.pipeline.in_flight = kAutoInFlight;
      return std::nullopt;
    }
    if (check_integer(kRange, value)) return "must be " + allowed;
    job.pipeline.in_flight = value.get<std::int64_t>();
    return std::nullopt;
  };
  key.canonical = [](const Job& job) {
    return json(std::max<std::int64_t>(0, job.pipeline.in_flight));
  };
  return finished(std::move(key), [](const Job& job) {
    const std::int64_t depth = job.pipeline.in_flight;
    return depth == kAutoInFlight ? json("auto") : json(depth);
  });
}

// The reader of the job file acts on this one itself; here it only has its place and type.
JobKey model_config_file(const About& about) {
  JobKey key = entry(about, "string", "path of a Hugging Face config.json");
  key.assign = [](Job&, const json& value) { return check_text(value); };
  return finished(std::move(key), [](const Job&) { return json(); });
}

void append_model(std::vector<JobKey>& table) {
  using enum KeyScope;
  using M = ModelConfig;
  constexpr auto kModel = &Job::model;
  table.insert(
      table.end(),
      {model_config_file({"model.config", "none", host,
                          "takes the model from this file; keys beside it replace the file's"}),
       integer<kModel, &M::vocab_size>(
           {"model.vocab_size", kRequired, lineage, "number of distinct tokens"},
           {1, kMaxVocabSize}),
       integer<kModel, &M::hidden_size>(
           {"model.hidden_size", kRequired, lineage, "width of the residual stream"},
           {1, kMaxHiddenSize}),
       integer<kModel, &M::intermediate_size>(
           {"model.intermediate_size", kRequired, lineage, "width inside the SwiGLU"},
           {1, kMaxIntermediateSize}),
       integer<kModel, &M::num_hidden_layers>(
           {"model.num_hidden_layers", kRequired, lineage, "number of decoder layers"},
           {1, kMaxLayers}),
       integer<kModel, &M::num_attention_heads>(
           {"model.num_attention_heads", kRequired, lineage, "number of query heads"},
           {1, kMaxHeads}),
       integer<kModel, &M::num_key_value_heads>(
           {"model.num_key_value_heads", "model.num_attention_heads", lineage,
            "number of key and value heads; divides the number of query heads"},
           {1, kMaxHeads}),
       integer<kModel, &M::head_dim>(
           {"model.head_dim", "model.hidden_size / model.num_attention_heads", lineage,
            "dimensions of a head; even"},
           {2, kMaxHeadDim}),
       integer<kModel, &M::max_position_embeddings>(
           {"model.max_position_embeddings", "data.seq_len", lineage,
            "longest sequence that the model is declared to take"},
           {1, kMaxPositions}),
       number<kModel, &M::rms_norm_eps>(
           {"model.rms_norm_eps", kOwn, lineage, "added to the mean square in RMSNorm"},
           {.min = 0, .max = 1, .at_min = Bound::excluded}),
       number<kModel, &M::rope_theta>(
           {"model.rope_theta", kOwn, lineage, "base of the rotary embedding's wavelengths"},
           {.min = 1, .max = 1e12}),
       number<kModel, &M::initializer_range>({"model.initializer_range", kOwn, lineage,
                                              "standard deviation of the weights at the start"},
                                             {.min = 0, .max = 10, .at_min = Bound::excluded}),
       boolean<kModel, &M::tie_word_embeddings>({"model.tie_word_embeddings", kOwn, lineage,
                                                 "whether the head is the embedding's matrix"})});
}

void append_work(std::vector<JobKey>& table) {
  using enum KeyScope;
  table.insert(
      table.end(),
      {globs<&Job::data, &DataConfig::train>(
           {"data.train", kRequired, host, "token shards to train on"}),
       globs<&Job::data, &DataConfig::val>(
           {"data.val", kOwn, host, "token shards to evaluate on; none: no evaluation"}),
       integer<&Job::data, &DataConfig::seq_len>(
           {"data.seq_len", kRequired, lineage, "tokens of a sequence"}, {1, kMaxSeqLen}),
       text<&Job::data, &DataConfig::tokenizer>(
           {"data.tokenizer", kOwn, host, "turns text into the shards' tokens and back"},
           "\"bytes\" or the path of a SentencePiece model"),
       integer<&Job::batch, &BatchConfig::global>(
           {"batch.global", kRequired, lineage, "sequences of an optimiser step"}, {1, kMaxBatch}),
       integer<&Job::batch, &BatchConfig::micro>(
           {"batch.micro", kRequired, run,
            "sequences that go through a stage at once; divides batch.global"},
           {1, kMaxBatch}),
       integer<&Job::train, &TrainConfig::steps>(
           {"train.steps", kRequired, run, "optimiser steps of the whole run"}, {1, kMaxSteps}),
       integer<&Job::train, &TrainConfig::seed>(
           {"train.seed", kOwn, lineage, "decides the first weights and the order of the data"},
           {0, std::numeric_limits<std::int64_t>::max()}),
       choice<&Job::train, &TrainConfig::recompute>(
           {"train.recompute", kOwn, host,
            "what the backward pass computes again instead of keeping: memory for time"},
           {"none", "layer"})});
}

void append_optimiser(std::vector<JobKey>& table) {
  using enum KeyScope;
  constexpr auto kOptim = &Job::optim;
  table.insert(
      table.end(),
      {choice<kOptim, &OptimConfig::name>({"optim.name", kOwn, lineage, "the optimiser"},
                                          {"adamw", "muon"}),
       number<kOptim, &OptimConfig::lr>({"optim.lr", kOwn, run, "highest learning rate"},
                                        {.min = 0, .max = 100, .at_min = Bound::excluded}),
       younger(number<kOptim, &OptimConfig::momentum>(
           {"optim.momentum", kOwn, lineage, "of the hidden matrices' gradients, under muon"},
           {.min = 0, .max = 1, .at_max = Bound::excluded})),
       younger(number<kOptim, &OptimConfig::ema>(
           {"optim.ema", kOwn, lineage, "decay of the averages of weights over steps; 0: none"},
           {.min = 0, .max = 1, .at_max = Bound::excluded})),
       younger(integer<kOptim, &OptimConfig::ema_from>(
           {"optim.ema_from", kOwn, lineage, "step with whose weights the averages begin"},
           {0, kMaxSteps})),
       betas({"optim.betas", kOwn, lineage, "decay of the two moments"}),
       number<kOptim, &OptimConfig::eps>(
           {"optim.eps", kOwn, lineage, "added to the root of the second moment"},
           {.min = 0, .max = 1, .at_min = Bound::excluded}),
       number<kOptim, &OptimConfig::weight_decay>(
           {"optim.weight_decay", kOwn, lineage,
            "decoupled, times the learning rate; not applied to norms and embeddings"},
           {.min = 0, .max = 10}),
       number<kOptim, &OptimConfig::clip_norm>(
           {"optim.clip_norm", kOwn, lineage,
            "largest global gradient norm; greater ones are scaled down to it; 0: never"},
           {.min = 0, .max = 1e9}),
       choice<kOptim, &OptimConfig::schedule>(
           {"optim.schedule", kOwn, run, "how the learning rate falls after warm-up"},
           {"cosine", "linear", "constant"}),
       integer<kOptim, &OptimConfig::warmup_steps>(
           {"optim.warmup_steps", kOwn, run,
            "steps over which the learning rate rises; at most train.steps"},
           {0, kMaxSteps}),
       number<kOptim, &OptimConfig::min_lr_ratio>(
           {"optim.min_lr_ratio", kOwn, run, "last learning rate, as a part of optim.lr"},
           {.min = 0, .max = 1})});
}

void append_run(std::vector<JobKey>& table) {
  using enum KeyScope;
  table.insert(
      table.end(),
      {choice<&Job::precision>(
           {"precision.compute", kOwn, run, "bfloat16 keeps float32 master weights"},
           {"float32", "bfloat16"}),
       codec<&Job::wire_forward>(
           {"wire.forward", kOwn, run, "how activations cross between stages"}),
       codec<&Job::wire_backward>(
           {"wire.backward", kOwn, run, "how gradients cross between stages"}),
       younger(integer<&Job::pipeline, &PipelineConfig::stages>(
           {"pipeline.stages", kOwn, run, "how many stages the job is cut into; 0: as many as run"},
           {0, kMaxStages})),
       choice<&Job::pipeline, &PipelineConfig::schedule>(
           {"pipeline.schedule", kOwn, run, "order of forwards and backwards"}, {"gpipe", "1f1b"}),
       in_flight({"pipeline.in_flight", kOwn, run,
                  "microbatches that the first stage may hold in 1f1b; 0: the number of stages; "
                  "auto: as many as the links ask for and memory holds"}),
       stage_layers<&PipelineConfig::layers>(
           {"pipeline.layers", kOwn, run, "layers of each stage; empty: balanced by their cost"}),
       younger(choice<&Job::pipeline, &PipelineConfig::cut>(
           {"pipeline.cut", kOwn, run,
            "what the balance cuts between; a block is the attention or the MLP of a layer"},
           {"layers", "blocks"})),
       younger(stage_layers<&PipelineConfig::borders>(
           {"pipeline.borders", kOwn, run,
            "layers of each piece of the model between borders at which wire.forward and "
            "wire.backward "
            "act; empty: they act where stages meet"})),
       younger(integer<&Job::lanes, &LanesConfig::count>(
           {"lanes.count", kOwn, run,
            "shares of a step's microbatches, each computed by itself and then summed; at most "
            "as many as there are"},
           {1, kMaxLanes})),
       younger(integer<&Job::lanes, &LanesConfig::check_every>(
           {"lanes.check_every", kOwn, run,
            "steps between two comparisons of the lanes' weights; 0: at checkpoints only"},
           {0, kMaxSteps})),
       integer<&Job::eval, &EvalConfig::every>(
           {"eval.every", kOwn, run, "steps between evaluations; 0: only at the end"},
           {0, kMaxSteps}),
       integer<&Job::eval, &EvalConfig::sequences>(
           {"eval.sequences", kOwn, run, "sequences of an evaluation; 0: all of data.val"},
           {0, kMaxSequences}),
       save_interval({"checkpoint.every", kOwn, run,
                      "steps or time between checkpoints; 0: only at the end"}),
       text<&Job::checkpoint, &CheckpointConfig::dir>(
           {"checkpoint.dir", kOwn, host, "folder of the checkpoints"}, "path of a folder")});
}

std::vector<JobKey> make_table() {
  std::vector<JobKey> table;
  append_model(table);
  append_work(table);
  append_optimiser(table);
  append_run(table);
  return table;
}

}  // namespace

const std::vector<JobKey>& job_keys() {
  static const std::vector<JobKey> table = make_table();
  return table;
}

const JobKey* find_job_key(std::string_view name) {
  for (const JobKey& key : job_keys()) {
    if (key.name == name) return &key;
  }
  return nullptr;
}

std::vector<std::string> job_tables() {
  std::vector<std::string> tables;
  for (const JobKey& key : job_keys()) {
    const std::string table = key.name.substr(0, key.name.find('.'));
    if (tables.empty() || tables.back() != table) tables.push_back(table);
  }
  return tables;
}

}  // namespace ptrain::job
