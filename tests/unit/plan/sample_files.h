// A small job, and files of hosts for it.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "libcommon/job/job.h"
#include "libcommon/plan/block_kind.h"
#include "libcommon/plan/compute_file.h"

namespace ptrain::plan {

inline job::Job sample_job(std::int64_t layers = 8) {
  job::Job job;
  job.model = {.vocab_size = 256,
               .hidden_size = 64,
               .intermediate_size = 128,
               .num_hidden_layers = layers,
               .num_attention_heads = 2,
               .num_key_value_heads = 2,
               .head_dim = 32,
               .max_position_embeddings = 64};
  job.data.seq_len = 64;
  job.batch = {.global = 16, .micro = 1};
  job.train.steps = 10;
  return job;
}

// With its end. `forward_s` is of each block at a microbatch of one.
inline std::string compute_line(const std::string& host, const job::Job& job, double forward_s,
                                const std::string& numerics = "avx512",
                                std::uint64_t free_bytes = 8'000'000'000) {
  nlohmann::ordered_json line{{"kind", "compute"},
                              {"version", 1},
                              {"host", host},
                              {"time_s", 100},
                              {"numerics", numerics},
                              {"cores", 4},
                              {"memory_bytes", 16'000'000'000},
                              {"free_bytes", free_bytes},
                              {"program_bytes", 100'000'000},
                              {"shape", shape_of(job)},
                              {"blocks", nlohmann::ordered_json::array()}};
  for (const std::int64_t micro : {1, 2}) {
    for (const std::string_view kind : kBlockKindNames) {
      const double scaled_s = forward_s * static_cast<double>(micro);
      line["blocks"].push_back({{"block", std::string(kind)},
                                {"micro", micro},
                                {"forward_s", scaled_s},
                                {"input_s", scaled_s},
                                {"weight_s", scaled_s},
                                {"update_s", forward_s},
                                {"kept_bytes", 1'000'000 * micro},
                                {"deferred_bytes", 0}});
    }
  }
  line["codecs"].push_back(
      {{"codec", "fp32"}, {"encode_bytes_per_s", 1e10}, {"decode_bytes_per_s", 1e10}});
  return line.dump() + "\n";
}

// The same host, with that codec, too.
inline std::string with_codec(const std::string& line, const std::string& codec,
                              double bytes_per_s) {
  auto host = nlohmann::ordered_json::parse(line);
  host["codecs"].push_back(
      {{"codec", codec}, {"encode_bytes_per_s", bytes_per_s}, {"decode_bytes_per_s", bytes_per_s}});
  return host.dump() + "\n";
}

}  // namespace ptrain::plan
