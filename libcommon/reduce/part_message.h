// Parts of sums over lanes as messages: a small one that names the part (schemas/reduce.capnp), and
// right after it one with its bytes, which are copied nowhere. Both have the urgency `reduce`, so
// they come in this order. Pure.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <variant>

#include "libcommon/base/units.h"
#include "libcommon/reduce/post.h"
#include "libcommon/reduce/reduce_plan.h"
#include "libcommon/wire/buffer.h"
#include "libcommon/wire/envelope.h"
#include "libcommon/wire/message.h"

namespace ptrain::reduce {

// The sums of a run have numbers that only grow.
using SumId = StrongInteger<struct SumTag, std::uint64_t>;

inline constexpr std::size_t kMaxPartNameBytes = 256;
inline constexpr std::uint64_t kMaxPartBytes = kMaxPieceElements * sizeof(float);

struct SumPart {
  SumId sum;
  PartName name;
  wire::Buffer bytes;
};

// To be sent one right after the other. Precondition: within kMaxPartBytes.
std::array<wire::Message, 2> part_messages(const SumPart& part);

// Puts what one member sends together again. One thread at a time.
class PartReader {
 public:
  // What a message completes; nullopt: a part's bytes are still to come. Malformed, for good: what
  // no honest member sends.
  std::variant<std::optional<SumPart>, wire::Malformed> take(const wire::Message& message);

 private:
  struct Named {
    SumId sum;
    PartName name;
    std::uint64_t bytes = 0;
  };
  std::optional<Named> named_;  // its bytes are next
};

}  // namespace ptrain::reduce
