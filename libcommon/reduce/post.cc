#include "libcommon/reduce/post.h"

#include <fmt/format.h>

namespace ptrain::reduce {

std::string to_string(const PartName& part) {
  return fmt::format("{} of {}, piece {}", part.kind == PartKind::subtotal ? "subtotal" : "total",
                     to_string(part.lanes), part.piece);
}

}  // namespace ptrain::reduce
