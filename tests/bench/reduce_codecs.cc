// How fast sums over lanes and their codecs are: against memcpy of the same float32 numbers, and
// against the loop that one would write first (std::lround, std::sort), in the same run. One piece
// of 1 MiB, as a sum works on it, on one thread. The candidates take turns, round by round, and
// what counts is the median of the rounds' ratios: absolute figures are of one noisy machine.
//
// Prints a JSON object a line: GB/s of float32, and the ratios.

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "libcommon/base/clock.h"
#include "libcommon/job/keyed_random.h"
#include "libcommon/reduce/edge_codec.h"
#include "libcommon/reduce/kernels/kernels.h"
#include "libcommon/reduce/reduce_plan.h"

namespace {

using namespace ptrain;
using namespace ptrain::reduce;

constexpr std::size_t kSize = kPieceElements;
constexpr int kRounds = 31;
constexpr double kRoundS = 0.002;  // of each candidate, at least

using Work = std::function<void()>;

double bytes_per_s(const Work& work) {
  const SteadyClock clock;
  const TimePoint begin = clock.now();
  std::size_t times = 0;
  double elapsed_s = 0;
  do {
    work();
    ++times;
    elapsed_s = seconds(clock.now() - begin);
  } while (elapsed_s < kRoundS);
  return static_cast<double>(times * kSize * sizeof(float)) / elapsed_s;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

struct Memory {
  std::vector<float> from = std::vector<float>(kSize);
  std::vector<float> other = std::vector<float>(kSize);
  std::vector<float> to = std::vector<float>(kSize);
  std::vector<std::byte> encoded = std::vector<std::byte>(kSize * sizeof(float));
};

void measure(Memory& memory, const std::string& name, const Work& ours,
             const std::optional<Work>& naive) {
  const Work copy = [&] {
    std::memcpy(memory.other.data(), memory.from.data(), kSize * sizeof(float));
  };
  std::vector<double> rates;
  std::vector<double> to_copy;
  std::vector<double> to_naive;
  ours();
  for (int round = 0; round < kRounds; ++round) {
    const double rate = bytes_per_s(ours);
    rates.push_back(rate);
    to_copy.push_back(rate / bytes_per_s(copy));
    if (naive) to_naive.push_back(rate / bytes_per_s(*naive));
  }
  nlohmann::ordered_json line{
      {"work", name}, {"gb_per_s", median(rates) / 1e9}, {"of_memcpy", median(to_copy)}};
  if (naive) line["of_naive"] = median(to_naive);
  fmt::print("{}\n", line.dump());
}

// --- what one would write first ---

void naive_add(const float* from, float* to) {
  for (std::size_t i = 0; i < kSize; ++i) to[i] += from[i];
}

void naive_bf16(const float* from, std::byte* to) {
  for (std::size_t i = 0; i < kSize; ++i) {
    std::uint32_t bits = 0;
    std::memcpy(&bits, from + i, sizeof bits);
    std::uint16_t upper = static_cast<std::uint16_t>(bits >> 16);
    const std::uint32_t lower = bits & 0xffffU;
    if (lower > 0x8000U || (lower == 0x8000U && upper % 2 != 0)) ++upper;
    std::memcpy(to + 2 * i, &upper, sizeof upper);
  }
}

// int8, or int4 in a byte each.
void naive_integers(const float* from, std::byte* to, float levels) {
  for (std::size_t first = 0; first < kSize; first += kIntegerBlock) {
    float largest = 0;
    for (std::size_t i = 0; i < kIntegerBlock; ++i) {
      largest = std::max(largest, std::fabs(from[first + i]));
    }
    const float scale = largest / levels;
    for (std::size_t i = 0; i < kIntegerBlock; ++i) {
      to[first + i] = static_cast<std::byte>(std::lround(from[first + i] / scale));
    }
  }
}

void naive_top_k(const float* from, std::byte* to) {
  std::vector<std::uint16_t> order(kBlockElements);
  for (std::size_t first = 0; first < kSize; first += kBlockElements) {
    std::iota(order.begin(), order.end(), std::uint16_t{0});
    std::sort(order.begin(), order.end(), [&](std::uint16_t a, std::uint16_t b) {
      return std::fabs(from[first + a]) > std::fabs(from[first + b]);
    });
    std::memcpy(to, order.data(), kBlockElements / 64 * sizeof order[0]);
  }
}

std::optional<Work> naive_encoder(EdgeCodecKind kind, Memory& memory) {
  const float* const from = memory.from.data();
  std::byte* const to = memory.encoded.data();
  switch (kind) {
    case EdgeCodecKind::fp32:
      return std::nullopt;
    case EdgeCodecKind::bf16:
      return [=] { naive_bf16(from, to); };
    case EdgeCodecKind::int8:
      return [=] { naive_integers(from, to, 127); };
    case EdgeCodecKind::int4:
      return [=] { naive_integers(from, to, 7); };
    case EdgeCodecKind::top_k:
      return [=] { naive_top_k(from, to); };
  }
  return std::nullopt;
}

}  // namespace

int main() {
  Memory memory;
  job::fill_normal(memory.from, 1, "numbers", 1e-3);
  measure(
      memory, "sum of two",
      [&] {
        kernels().sum(std::as_bytes(std::span(memory.from)).data(),
                      std::as_bytes(std::span(memory.other)).data(), memory.encoded.data(), kSize);
      },
      [&] {
        std::memcpy(memory.to.data(), memory.other.data(), kSize * sizeof(float));
        naive_add(memory.from.data(), memory.to.data());
      });
  for (std::uint8_t kind = 0; kind < kEdgeCodecKinds; ++kind) {
    const EdgeCodec& codec = edge_codec(static_cast<EdgeCodecKind>(kind));
    const std::string name(codec.name());
    const std::span<std::byte> bytes =
        std::span(memory.encoded).first(codec.encoded_size(kSize).value());
    measure(
        memory, name + " encode", [&] { codec.encode(memory.from, bytes); },
        naive_encoder(static_cast<EdgeCodecKind>(kind), memory));
    codec.encode(memory.from, bytes);
    measure(
        memory, name + " check", [&] { (void)codec.flaw_of(bytes, kSize); }, std::nullopt);
    measure(
        memory, name + " decode", [&] { codec.decode(bytes, memory.to); }, std::nullopt);
    measure(
        memory, name + " add", [&] { codec.decode_add(bytes, memory.to); }, std::nullopt);
  }
}
