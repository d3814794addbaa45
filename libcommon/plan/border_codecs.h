// What crosses a border between stages: how the codecs are called, how much they make of it, and
// which a plan may choose from. Pure.

#pragma once

#include <cstdint>
#include <vector>

#include "libcommon/job/job.h"

namespace ptrain::plan {

// As compute files call it.
const char* codec_name(job::WireCodec codec);

// What a microbatch's residual stream is, as it crosses a border.
std::uint64_t border_bytes(job::WireCodec codec, std::uint64_t elements);

struct CodecPair {
  job::WireCodec forward = job::WireCodec::fp32;
  job::WireCodec backward = job::WireCodec::fp32;
  int loss = 0;  // 0: none

  bool operator==(const CodecPair&) const = default;
};

// Of the job's own codecs and the others, each pair once: the least lossy first, and of those that
// lose as much the job's own.
std::vector<CodecPair> codec_pairs(const job::Job& job,
                                   const std::vector<job::WireCodec>& other_forward,
                                   const std::vector<job::WireCodec>& other_backward);

}  // namespace ptrain::plan
