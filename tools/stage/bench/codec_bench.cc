#include "tools/stage/bench/codec_bench.h"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <span>
#include <vector>

#include <ATen/ATen.h>

#include "libcommon/base/clock.h"
#include "tools/stage/bench/device_clock.h"
#include "tools/stage/codec/wire_codec.h"

namespace ptrain::stage {
namespace {

constexpr int kLeastTimes = 3;

// Of the shortest time: what else runs here only makes it longer.
template <class Work>
double best_s(Duration budget, const Work& work) {
  DeviceClock clock(at::kCPU);
  double best = std::numeric_limits<double>::infinity();
  double all = 0;
  for (int i = 0; i < kLeastTimes || all < seconds(budget); ++i) {
    clock.lap_s();
    work();
    const double passed = clock.lap_s();
    best = std::min(best, passed);
    all += std::max(passed, 1e-9);
  }
  return std::max(best, 1e-9);
}

}  // namespace

std::map<std::string, plan::CodecRates, std::less<>> bench_codecs(const job::Job& job,
                                                                  std::int64_t micro,
                                                                  Duration budget) {
  const at::ScalarType dtype =
      job.precision == job::ComputePrecision::bfloat16 ? at::kBFloat16 : at::kFloat;
  at::Tensor rows = at::randn({micro, job.data.seq_len, job.model.hidden_size}).to(dtype);
  std::map<std::string, plan::CodecRates, std::less<>> rates;
  for (const job::WireCodec kind :
       {job::WireCodec::fp32, job::WireCodec::bf16, job::WireCodec::int8}) {
    const auto codec = make_wire_codec(kind);
    std::vector<std::byte> bytes(codec->encoded_size(rows.numel()).value());
    const auto size = static_cast<double>(bytes.size());
    const double encode_s = best_s(budget, [&] { codec->encode(rows, std::span(bytes)); });
    const double decode_s = best_s(budget, [&] { codec->decode(bytes, rows); });
    rates.emplace(codec->name(), plan::CodecRates{.encode_bytes_per_s = size / encode_s,
                                                  .decode_bytes_per_s = size / decode_s});
  }
  return rates;
}

}  // namespace ptrain::stage
