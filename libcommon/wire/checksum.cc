#include "libcommon/wire/checksum.h"

#include <xxhash.h>

namespace ptrain::wire {

std::uint64_t checksum(std::span<const std::byte> bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

}  // namespace ptrain::wire
