// Saves a made-up stage of a given size, reads it again, and says how long that took: what
// tests/bench/ckpt.sh compares with others. Prints one JSON object.
//
//   bench_ckpt_save --dir FOLDER [--mebibytes N] [--saves N]

#include <algorithm>
#include <cstring>
#include <iostream>
#include <random>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "libcommon/base/clock.h"
#include "libcommon/base/sha256.h"
#include "libcommon/ckpt/checkpoint_reader.h"
#include "libcommon/ckpt/snapshot.h"
#include "libcommon/ckpt/store.h"

namespace {

using namespace ptrain;

constexpr std::int64_t kHidden = 1024;
constexpr std::int64_t kVocabulary = 4096;

struct Options {
  std::string folder;
  std::uint64_t mebibytes = 1024;
  std::uint64_t saves = 1;
};

// As many layers of 1024 as bring parameters and moments nearest to the size.
job::ModelConfig model_of(std::uint64_t bytes) {
  job::ModelConfig model{.vocab_size = kVocabulary,
                         .hidden_size = kHidden,
                         .intermediate_size = 4 * kHidden,
                         .num_hidden_layers = 0,
                         .num_attention_heads = 16,
                         .num_key_value_heads = 16,
                         .head_dim = 64,
                         .max_position_embeddings = 1024};
  const auto size = [](const job::ModelConfig& config) {
    std::uint64_t total = 0;
    for (const auto& parameter : job::parameters(config)) {
      total += 3 * *ckpt::byte_size({parameter.name, ckpt::Dtype::f32, parameter.shape});
    }
    return total;
  };
  do ++model.num_hidden_layers;
  while (size(model) < bytes);
  return model;
}

// Parameters and moments that do not compress.
class State {
 public:
  explicit State(const job::ModelConfig& model) : model_(model) {
    for (const auto& parameter : job::parameters(model)) {
      add(parameter.name, parameter.shape, state_.model);
      for (const char* moment : {".exp_avg", ".exp_avg_sq"}) {
        add(parameter.name + moment, parameter.shape, state_.optim);
      }
    }
    state_.stage_count = 1;
    state_.span = {0, model.num_hidden_layers, true, true};
  }

  const ckpt::StageState& at(Step step) {
    state_.run = {step, 0, model_, "{}", hash_, hash_, hash_};
    return state_;
  }
  std::vector<ckpt::TensorView> tensors() const {
    std::vector<ckpt::TensorView> all = state_.model;
    all.insert(all.end(), state_.optim.begin(), state_.optim.end());
    return all;
  }
  std::uint64_t bytes() const {
    std::uint64_t total = 0;
    for (const auto& tensor : memory_) total += tensor.size();
    return total;
  }

 private:
  void add(const std::string& name, const std::vector<std::int64_t>& shape,
           std::vector<ckpt::TensorView>& to) {
    const ckpt::TensorInfo info{name, ckpt::Dtype::f32, shape};
    std::vector<std::byte>& memory = memory_.emplace_back(*ckpt::byte_size(info));
    for (std::size_t at = 0; at + 8 <= memory.size(); at += 8) {
      const std::uint64_t value = random_();
      std::memcpy(memory.data() + at, &value, 8);
    }
    to.push_back({info, memory});
  }

  job::ModelConfig model_;
  std::string hash_ = to_hex(sha256("bench"));
  std::mt19937_64 random_{1};
  std::vector<std::vector<std::byte>> memory_;
  ckpt::StageState state_;
};

// Every tensor into memory of its own, checked, as a resumed run reads them.
void load(const ckpt::CheckpointReader& reader) {
  std::vector<std::vector<std::byte>> tensors;
  for (const ckpt::TensorInfo& info : reader.tensors()) {
    reader.read(info.name, tensors.emplace_back(*ckpt::byte_size(info)));
  }
}

nlohmann::json run(const Options& options) {
  State state(model_of(options.mebibytes << 20));
  const SteadyClock clock;
  const auto measure = [&](auto&& work) {
    const TimePoint begin = clock.now();
    work();
    return seconds(clock.now() - begin);
  };
  ckpt::Snapshot snapshot;
  snapshot.assign(state.tensors());  // its pages are there from the second save on
  const double copy_s = measure([&] { snapshot.assign(state.tensors()); });
  snapshot.release();

  os::PosixStorage disk;
  ckpt::CheckpointStore store(disk, options.folder, "bench");
  std::vector<double> save_s;
  for (std::uint64_t step = 1; step <= options.saves; ++step) {
    save_s.push_back(measure([&] {
      const ckpt::StageRecord record = store.write_stage(state.at(Step(step)));
      store.write_manifest(ckpt::make_manifest(std::span(&record, 1)));
    }));
  }
  std::ranges::sort(save_s);
  const double load_s = measure(
      [&] { load(ckpt::CheckpointReader(disk, store.step_directory(Step(options.saves)))); });
  return {{"bytes", state.bytes()},
          {"save_s", save_s[save_s.size() / 2]},
          {"load_s", load_s},
          {"copy_s", copy_s}};
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("Saves of one stage, timed");
  app.add_option("--dir", options.folder, "where the checkpoints go; they stay")->required();
  app.add_option("--mebibytes", options.mebibytes)->check(CLI::Range(1, 65536));
  app.add_option("--saves", options.saves)->check(CLI::Range(1, 1000));
  CLI11_PARSE(app, argc, argv);
  std::cout << run(options).dump() << "\n";
  return 0;
}
