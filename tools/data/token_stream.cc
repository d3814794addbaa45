#include "tools/data/token_stream.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libcommon/base/error.h"

namespace ptrain::data {
namespace {

os::FileDescriptor open_shard(const std::string& path) {
  os::FileDescriptor file(path == "-" ? ::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0)
                                      : ::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) throw io_error("open " + path, errno);
  return file;
}

template <class T>
void widen(std::span<const std::byte> bytes, std::uint32_t* out) {
  for (std::size_t i = 0; i < bytes.size() / sizeof(T); ++i) {
    T token;
    std::memcpy(&token, bytes.data() + i * sizeof(T), sizeof(T));
    out[i] = token;
  }
}

}  // namespace

TokenStream::TokenStream(const std::string& path)
    : name_(path == "-" ? "standard input" : path), file_(open_shard(path)) {
  std::array<std::byte, kShardHeaderBytes> bytes;
  header_ = parse_shard_header(std::span(bytes).first(read_bytes(bytes)), name_);
  // Where the length is known, a shard that is cut short is refused before it is used.
  struct stat status {};
  if (path != "-" && ::fstat(file_.get(), &status) == 0 && S_ISREG(status.st_mode)) {
    require_shard_length(header_, static_cast<std::uint64_t>(status.st_size), name_);
  }
}

std::size_t TokenStream::read(std::span<std::uint32_t> out) {
  const std::uint64_t width = bytes_per_token(header_.width);
  const std::uint64_t left = header_.token_count - position_;
  const std::size_t count = std::min<std::uint64_t>(out.size(), left);
  std::vector<std::byte> bytes(count * width);
  const std::uint64_t bytes_before = kShardHeaderBytes + position_ * width;
  const std::size_t got = read_bytes(bytes);
  if (got < bytes.size()) require_shard_length(header_, bytes_before + got, name_);
  if (header_.width == TokenWidth::bits16) {
    widen<std::uint16_t>(bytes, out.data());
  } else {
    widen<std::uint32_t>(bytes, out.data());
  }
  position_ += count;
  if (count == left) {
    std::array<std::byte, 1> beyond;
    require_shard_length(header_, header_.file_bytes() + read_bytes(beyond), name_);
  }
  return count;
}

// Fewer bytes than asked for only at the end of the file.
std::size_t TokenStream::read_bytes(std::span<std::byte> out) {
  std::size_t done = 0;
  while (done < out.size()) {
    const ssize_t count = ::read(file_.get(), out.data() + done, out.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw io_error("read " + name_, errno);
    if (count == 0) break;
    done += static_cast<std::size_t>(count);
  }
  return done;
}

}  // namespace ptrain::data
