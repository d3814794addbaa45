#include "libcommon/reduce/top_k_codec.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include <fmt/format.h>

#include "libcommon/reduce/chunking.h"
#include "libcommon/reduce/kernels/kernels.h"

namespace ptrain::reduce {
namespace {

constexpr std::size_t kMostKept = kBlockElements / TopKCodec::kKeptOneIn;
constexpr int kPositionBits = 12;
constexpr int kCodeBits = 2;
static_assert(kBlockElements == 1u << kPositionBits);
// Magnitudes are sorted roughly by their upper bits first: exponent and three of the mantissa.
constexpr int kSortedBits = 11;
constexpr int kRestBits = 31 - kSortedBits;

constexpr std::size_t kept_of(std::size_t elements) {
  return (elements + TopKCodec::kKeptOneIn - 1) / TopKCodec::kKeptOneIn;
}

// Where the parts of a block's bytes begin.
struct BlockBytes {
  std::size_t kept;
  std::size_t positions = 2 * sizeof(float);
  std::size_t codes = positions + (kept * kPositionBits + 7) / 8;
  std::size_t size = codes + (kept * kCodeBits + 7) / 8;
};

BlockBytes block_bytes(std::size_t elements) { return {.kept = kept_of(elements)}; }

unsigned byte_at(std::span<const std::byte> bytes, std::size_t i) {
  return std::to_integer<unsigned>(bytes[i]);
}

// Field i of fields of `bits` bits, which fill bytes from their low bits; of 12 bits, or of 2.
unsigned read_position(std::span<const std::byte> bytes, std::size_t i) {
  const std::size_t at = i * kPositionBits / 8;
  const unsigned two = byte_at(bytes, at) | (byte_at(bytes, at + 1) << 8);
  return i % 2 == 0 ? two & 0xfffU : two >> 4;
}

void write_position(std::span<std::byte> bytes, std::size_t i, unsigned position) {
  const std::size_t at = i * kPositionBits / 8;
  const unsigned shifted = i % 2 == 0 ? position : position << 4;
  bytes[at] |= static_cast<std::byte>(shifted & 255U);
  bytes[at + 1] |= static_cast<std::byte>(shifted >> 8);
}

unsigned read_code(std::span<const std::byte> bytes, std::size_t i) {
  return (byte_at(bytes, i / 4) >> (i % 4 * kCodeBits)) & 3U;
}

void write_code(std::span<std::byte> bytes, std::size_t i, unsigned code) {
  bytes[i / 4] |= static_cast<std::byte>(code << (i % 4 * kCodeBits));
}

std::uint32_t magnitude_bits(float x) {
  std::uint32_t bits = 0;
  std::memcpy(&bits, &x, sizeof bits);
  return bits & 0x7fffffffU;
}

struct Kept {
  std::array<std::uint16_t, kMostKept> positions;
  std::size_t count = 0;

  void add(std::size_t position) { positions[count++] = static_cast<std::uint16_t>(position); }
};

// The positions of the largest magnitudes, ascending; none that is 0.
Kept largest_of(std::span<const float> block) {
  std::array<std::uint16_t, 1u << kSortedBits> members{};
  for (const float x : block) ++members[magnitude_bits(x) >> kRestBits];
  // All above `threshold` are kept, and of those that are in it the largest.
  const std::size_t wanted = kept_of(block.size());
  std::size_t threshold = members.size();
  std::size_t above = 0;
  do {
    --threshold;
    above += members[threshold];
  } while (above < wanted && threshold > 0);
  const std::size_t from_threshold = wanted - (above - members[threshold]);

  Kept kept;
  std::array<std::uint16_t, kBlockElements> rest;
  std::size_t rest_count = 0;
  for (std::size_t i = 0; i < block.size(); ++i) {
    const std::uint32_t bits = magnitude_bits(block[i]);
    if (bits == 0) continue;
    const std::size_t place = bits >> kRestBits;
    if (place > threshold) kept.add(i);
    if (place == threshold) rest[rest_count++] = static_cast<std::uint16_t>(i);
  }
  const auto larger = [&](std::uint16_t a, std::uint16_t b) {
    const std::uint32_t left = magnitude_bits(block[a]);
    const std::uint32_t right = magnitude_bits(block[b]);
    return left != right ? left > right : a < b;
  };
  const std::size_t taken = std::min(from_threshold, rest_count);
  if (taken < rest_count) {
    std::nth_element(rest.begin(), rest.begin() + static_cast<std::ptrdiff_t>(taken),
                     rest.begin() + static_cast<std::ptrdiff_t>(rest_count), larger);
  }
  for (std::size_t i = 0; i < taken; ++i) kept.add(rest[i]);
  std::sort(kept.positions.begin(),
            kept.positions.begin() + static_cast<std::ptrdiff_t>(kept.count));
  return kept;
}

struct Levels {
  float low = 0;
  float high = 0;
  double mean = 0;
};

// In float64 and by position, so that the order is the same everywhere.
Levels levels_of(std::span<const float> block, const Kept& kept) {
  if (kept.count == 0) return {};
  double all = 0;
  for (std::size_t i = 0; i < kept.count; ++i) all += std::fabs(block[kept.positions[i]]);
  Levels levels{.mean = all / static_cast<double>(kept.count)};
  double low = 0;
  double high = 0;
  std::size_t high_count = 0;
  for (std::size_t i = 0; i < kept.count; ++i) {
    const double size = std::fabs(block[kept.positions[i]]);
    (size > levels.mean ? high : low) += size;
    high_count += size > levels.mean ? 1 : 0;
  }
  // The smallest is not above the mean, but for its rounding.
  const std::size_t low_count = kept.count - high_count;
  levels.low = low_count == 0 ? 0 : static_cast<float>(low / static_cast<double>(low_count));
  levels.high =
      high_count == 0 ? levels.low : static_cast<float>(high / static_cast<double>(high_count));
  return levels;
}

void encode_block(std::span<const float> block, std::span<std::byte> out) {
  const BlockBytes bytes = block_bytes(block.size());
  std::fill(out.begin(), out.end(), std::byte{});
  const Kept kept = largest_of(block);
  const Levels levels = levels_of(block, kept);
  std::memcpy(out.data(), &levels.low, sizeof levels.low);
  std::memcpy(out.data() + sizeof levels.low, &levels.high, sizeof levels.high);
  if (kept.count == 0) return;
  for (std::size_t i = 0; i < bytes.kept; ++i) {
    const std::uint16_t position = kept.positions[std::min(i, kept.count - 1)];
    const float x = block[position];
    const unsigned code = (std::signbit(x) ? 1U : 0U) | (std::fabs(x) > levels.mean ? 2U : 0U);
    write_position(out.subspan(bytes.positions), i, position);
    write_code(out.subspan(bytes.codes), i, code);
  }
}

// at(position, value) for every element that is kept.
template <class At>
void decode_block(std::span<const std::byte> in, std::size_t elements, const At& at) {
  const BlockBytes bytes = block_bytes(elements);
  std::array<float, 2> levels{};
  std::memcpy(levels.data(), in.data(), sizeof levels);
  const std::array<float, 4> values{levels[0], -levels[0], levels[1], -levels[1]};
  for (std::size_t i = 0; i < bytes.kept; ++i) {
    const unsigned position = read_position(in.subspan(bytes.positions), i);
    if (i > 0 && position == read_position(in.subspan(bytes.positions), i - 1)) continue;
    at(position, values[read_code(in.subspan(bytes.codes), i)]);
  }
}

// block(first element, elements, its bytes' place) for every block.
template <class Block>
void for_each_block(std::size_t elements, const Block& block) {
  std::size_t at = 0;
  for (std::size_t first = 0; first < elements; first += kBlockElements) {
    const std::size_t count = std::min<std::size_t>(kBlockElements, elements - first);
    block(first, count, at);
    at += block_bytes(count).size;
  }
}

}  // namespace

ByteCount TopKCodec::encoded_size(std::uint64_t elements) const {
  const std::uint64_t rest = elements % kBlockElements;
  return ByteCount(elements / kBlockElements * block_bytes(kBlockElements).size +
                   (rest == 0 ? 0 : block_bytes(rest).size));
}

std::optional<std::uint64_t> TopKCodec::do_encode(std::span<const float> values,
                                                  std::span<std::byte> out) const {
  if (const auto bad = first_not_finite(values)) return bad;
  for_each_block(values.size(), [&](std::size_t first, std::size_t count, std::size_t at) {
    encode_block(values.subspan(first, count), out.subspan(at, block_bytes(count).size));
  });
  return std::nullopt;
}

void TopKCodec::do_decode(std::span<const std::byte> bytes, std::span<float> out) const {
  std::fill(out.begin(), out.end(), 0.0F);
  for_each_block(out.size(), [&](std::size_t first, std::size_t count, std::size_t at) {
    decode_block(bytes.subspan(at), count,
                 [&](std::size_t position, float value) { out[first + position] = value; });
  });
}

void TopKCodec::do_decode_add(std::span<const std::byte> bytes, std::span<float> sum) const {
  for_each_block(sum.size(), [&](std::size_t first, std::size_t count, std::size_t at) {
    decode_block(bytes.subspan(at), count,
                 [&](std::size_t position, float value) { sum[first + position] += value; });
  });
}

std::optional<std::string> TopKCodec::flaw_within(std::span<const std::byte> bytes,
                                                  std::uint64_t elements) const {
  std::optional<std::string> flaw;
  for_each_block(elements, [&](std::size_t first, std::size_t count, std::size_t at) {
    if (flaw) return;
    const BlockBytes parts = block_bytes(count);
    std::array<float, 2> levels{};
    std::memcpy(levels.data(), bytes.data() + at, sizeof levels);
    for (const float level : levels) {
      if (std::isfinite(level) && level >= 0) continue;
      flaw = fmt::format("a level of block {} is {}; finite and not negative expected",
                         first / kBlockElements, level);
      return;
    }
    unsigned before = 0;
    for (std::size_t i = 0; i < parts.kept; ++i) {
      const unsigned position = read_position(bytes.subspan(at + parts.positions), i);
      if (position < count && position >= before) {
        before = position;
        continue;
      }
      flaw = fmt::format("position {} of block {} is {}; {} to {} expected", i,
                         first / kBlockElements, position, before, count - 1);
      return;
    }
  });
  return flaw;
}

}  // namespace ptrain::reduce
