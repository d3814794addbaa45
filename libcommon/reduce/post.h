// What members of a sum say to each other, and what carries it.

#pragma once

#include <compare>
#include <cstdint>
#include <string>

#include "libcommon/reduce/reduce_plan.h"
#include "libcommon/wire/buffer.h"

namespace ptrain::reduce {

enum class PartKind : std::uint8_t {
  subtotal,  // of some lanes, to the owner of a chunk
  total,     // from the owner of a chunk, to everyone
};

// Within one sum: of the chunk of whoever gets a subtotal, or sends a total.
struct PartName {
  PartKind kind = PartKind::subtotal;
  LaneRange lanes;
  std::uint32_t piece = 0;

  auto operator<=>(const PartName&) const = default;
};

// "subtotal of lanes 4 to 7, piece 12"
std::string to_string(const PartName& part);

class Post {
 public:
  virtual ~Post() = default;
  // Takes the bytes to that member, sooner or later, in any order; more than once does no harm.
  // Neither blocks, nor throws, nor delivers before it returns.
  virtual void send(MemberIndex to, const PartName& part, wire::Buffer bytes) = 0;
};

}  // namespace ptrain::reduce
