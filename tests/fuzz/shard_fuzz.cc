// Token shards from anywhere: a shard either parses and promises exactly the bytes that are
// there, or throws Error(corrupt).

#include <cstdint>
#include <cstdlib>
#include <span>

#include "libcommon/base/error.h"
#include "libcommon/data/token_shard.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ptrain;
  const std::span bytes = std::as_bytes(std::span(data, size));
  try {
    const data::ShardHeader header = data::parse_shard(bytes, "input");
    if (header.file_bytes() != size || header.token_count > data::kMaxShardTokens) std::abort();
    if (data::parse_shard_header(data::serialise(header), "copy") != header) std::abort();
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::corrupt) std::abort();
  }
  return 0;
}
