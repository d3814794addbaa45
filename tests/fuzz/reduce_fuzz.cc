// Fuzzes what members of a sum over lanes read from each other: names of parts, and bytes of every
// codec. Whatever comes, reading ends with a part or a refusal, and what was accepted means the
// same after it is written and read again.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <span>
#include <utility>
#include <variant>
#include <vector>

#include "libcommon/reduce/edge_codec.h"
#include "libcommon/reduce/part_message.h"

namespace {

using namespace ptrain;

constexpr std::uint64_t kMaxElements = 2 * 4096;

// The part of a name, with as many bytes as it says; none where the name is refused.
std::optional<reduce::SumPart> part_named(const wire::Message& name) {
  reduce::PartReader reader;
  const auto first = reader.take(name);
  if (std::holds_alternative<wire::Malformed>(first)) return std::nullopt;
  // How many bytes it wants is the reader's to know: a wrong number is refused with words.
  wire::Message bytes = reduce::part_messages({})[1];
  const auto second = reader.take(bytes);
  if (std::holds_alternative<wire::Malformed>(second)) return std::nullopt;
  return std::get<std::optional<reduce::SumPart>>(second);
}

void check_name(std::span<const std::byte> bytes) {
  wire::Message name = reduce::part_messages({})[0];
  name.payload = wire::Buffer::copy_of(bytes);
  const auto part = part_named(name);
  if (!part) return;
  const auto again = part_named(reduce::part_messages(*part)[0]);
  if (!again || again->sum != part->sum || again->name != part->name) std::abort();
}

// The first byte chooses a codec, two more how many elements there are.
void check_codec(std::span<const std::byte> bytes) {
  if (bytes.size() < 3) return;
  const auto at = [&](std::size_t i) { return std::to_integer<std::uint64_t>(bytes[i]); };
  const reduce::EdgeCodec& codec =
      reduce::edge_codec(static_cast<reduce::EdgeCodecKind>(at(0) % reduce::kEdgeCodecKinds));
  const std::uint64_t elements = (at(1) << 8 | at(2)) % (kMaxElements + 1);
  std::vector<std::byte> encoded(bytes.begin() + 3, bytes.end());
  if (codec.flaw_of(encoded, elements)) {
    // Rarely is the size right by chance.
    encoded.resize(codec.encoded_size(elements).value());
    if (codec.flaw_of(encoded, elements)) return;
  }
  std::vector<float> values(elements);
  codec.decode(encoded, values);
  if (reduce::first_not_finite(values)) std::abort();
  std::vector<float> sum(elements);
  codec.decode_add(encoded, sum);
  for (std::uint64_t i = 0; i < elements; ++i) {
    if (sum[i] != values[i]) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  check_name(bytes);
  check_codec(bytes);
  return 0;
}
