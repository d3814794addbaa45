// What hosts compute how fast, and the file that says so (ptrain-plan(5), COMPUTE): one host a
// line. Values; reading is pure.

#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "libcommon/job/job.h"
#include "libcommon/plan/block_kind.h"

namespace ptrain::plan {

inline constexpr std::size_t kMaxComputeFileBytes = std::size_t{256} << 20;

// Of one block and one microbatch, but the update, which is of a step.
struct BlockCompute {
  double forward_s = 0;
  double input_s = 0;   // the input's gradient
  double weight_s = 0;  // the weights'
  double update_s = 0;
  std::uint64_t kept_bytes = 0;      // from the forward to the backward
  std::uint64_t deferred_bytes = 0;  // from the input's gradient to the weights'

  bool operator==(const BlockCompute&) const = default;
};

struct CodecRates {  // bytes of what crosses the link
  double encode_bytes_per_s = 0;
  double decode_bytes_per_s = 0;
};

struct HostCompute {
  std::string name{};
  std::string where{};  // file and line, for errors
  double time_s = 0;    // when it was measured, since 1970
  std::string numerics{};
  std::uint64_t cores = 0;
  std::uint64_t memory_bytes = 0;
  std::uint64_t free_bytes = 0;     // of it, before the program starts
  std::uint64_t program_bytes = 0;  // the program and its libraries, without a model
  nlohmann::json shape{};           // of the job that it was measured with: shape_of()
  nlohmann::json detail{};          // for people; null: none
  std::map<std::int64_t, PerKind<BlockCompute>> blocks{};  // by sequences a microbatch
  std::map<std::string, CodecRates, std::less<>> codecs{};
};

// The keys of a job that what a block costs depends on, with their values.
nlohmann::json shape_of(const job::Job& job);

// Throws Error(corrupt) with file, line, key and value for what is not as ptrain-plan(5) says, and
// for a host that has two lines.
std::vector<HostCompute> read_compute(std::string_view text, const std::string& where);

// One line, without its end: read_compute() gives the same again.
std::string write_compute(const HostCompute& host);

// Throws Error(corrupt) that names a key in which the two differ.
void check_shape(const HostCompute& host, const job::Job& job);

// Throws Error(corrupt) where it was not measured with the job's batch.micro.
void check_micro(const HostCompute& host, const job::Job& job);

}  // namespace ptrain::plan
