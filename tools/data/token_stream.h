// A token shard read from beginning to end, from a file or a pipe, in bounded memory.
//
// Where TokenShard needs a file that it can map, this takes standard input as well. One
// thread at a time. Error(corrupt) for what is no valid shard, Error(io) for the rest.

#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "libcommon/data/token_shard.h"
#include "libcommon/os/file_descriptor.h"

namespace ptrain::data {

class TokenStream {
 public:
  // "-" is standard input. Reads the header.
  explicit TokenStream(const std::string& path);

  const std::string& name() const { return name_; }
  const ShardHeader& header() const { return header_; }
  // Tokens read so far.
  std::uint64_t position() const { return position_; }

  // The next tokens, as many as fit: fewer than that only at the end of the shard, where
  // anything that follows the last token is refused.
  std::size_t read(std::span<std::uint32_t> out);

 private:
  std::size_t read_bytes(std::span<std::byte> out);

  std::string name_;
  os::FileDescriptor file_;
  ShardHeader header_;
  std::uint64_t position_ = 0;
};

}  // namespace ptrain::data
