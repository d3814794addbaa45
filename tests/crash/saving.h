// Small checkpoints and the ways in which they come onto a disk: what scenarios begin with,
// or are about.

#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "tests/crash/exploration.h"
#include "tests/unit/ckpt/sample_checkpoint.h"

namespace ptrain::crash {

using Sample = std::shared_ptr<const ckpt::SampleCheckpoint>;
using Cut = std::vector<std::int64_t>;

inline const Cut kWhole = {2};  // of the sample's two layers
inline const Cut kTwoStages = {1, 2};
inline constexpr const char* kFolder = "/run/ckpt";
inline constexpr const char* kHosts[] = {"/host-a/ckpt", "/host-b/ckpt"};

Sample sample(std::uint64_t step, std::uint64_t seed = 1);

// By one process, into kFolder.
void save(const World& world, const Sample& sample, const Cut& cut);
// By two processes that share kFolder; each writes the manifest.
void save_by_two(const World& world, const Sample& sample);
// By one process on each of kHosts, whose folders hold one stage each.
void save_on_two_hosts(const World& world, const Sample& sample);

}  // namespace ptrain::crash
