#include "libcommon/plan/border_codecs.h"

#include <algorithm>

namespace ptrain::plan {
namespace {

// How far it is from losing nothing.
int loss_of(job::WireCodec codec, job::ComputePrecision precision) {
  switch (codec) {
    case job::WireCodec::int8:
      return 2;
    case job::WireCodec::bf16:
      return precision == job::ComputePrecision::bfloat16 ? 0 : 1;
    default:
      return 0;
  }
}

// The job's own among them, each once.
std::vector<job::WireCodec> codecs_of(const job::Job& job, job::WireCodec own,
                                      const std::vector<job::WireCodec>& others) {
  std::vector<job::WireCodec> codecs{job::wire_codec(own, job.precision)};
  for (const job::WireCodec other : others) {
    const job::WireCodec codec = job::wire_codec(other, job.precision);
    if (std::find(codecs.begin(), codecs.end(), codec) == codecs.end()) codecs.push_back(codec);
  }
  return codecs;
}

}  // namespace

const char* codec_name(job::WireCodec codec) {
  switch (codec) {
    case job::WireCodec::bf16:
      return "bf16";
    case job::WireCodec::int8:
      return "int8";
    default:
      return "fp32";
  }
}

std::uint64_t border_bytes(job::WireCodec codec, std::uint64_t elements) {
  constexpr std::uint64_t kBlock = 128;  // values with one float32 scale
  switch (codec) {
    case job::WireCodec::bf16:
      return 2 * elements;
    case job::WireCodec::int8:
      return elements + 4 * ((elements + kBlock - 1) / kBlock);
    default:
      return 4 * elements;
  }
}

std::vector<CodecPair> codec_pairs(const job::Job& job,
                                   const std::vector<job::WireCodec>& other_forward,
                                   const std::vector<job::WireCodec>& other_backward) {
  std::vector<CodecPair> pairs;
  for (const job::WireCodec forward : codecs_of(job, job.wire_forward, other_forward)) {
    for (const job::WireCodec backward : codecs_of(job, job.wire_backward, other_backward)) {
      pairs.push_back(
          {forward, backward, loss_of(forward, job.precision) + loss_of(backward, job.precision)});
    }
  }
  std::stable_sort(pairs.begin(), pairs.end(),
                   [](const CodecPair& a, const CodecPair& b) { return a.loss < b.loss; });
  return pairs;
}

}  // namespace ptrain::plan
