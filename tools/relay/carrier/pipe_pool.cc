#include "tools/relay/carrier/pipe_pool.h"

#include <cerrno>
#include <utility>

#include <fcntl.h>

#include "libcommon/base/error.h"

namespace ptrain::relay {
namespace {

std::optional<Pipe> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return std::nullopt;
  static_cast<void>(::fcntl(ends[1], F_SETPIPE_SZ, kPipeBytes));  // smaller ones serve too
  return Pipe{os::FileDescriptor(ends[0]), os::FileDescriptor(ends[1])};
}

}  // namespace

PipePool::PipePool(std::size_t kept) : kept_(kept) {
  while (idle_.size() < kept_) {
    auto pipe = make_pipe();
    if (!pipe) throw io_error("make the pipes of the data port", errno);
    idle_.push_back(std::move(*pipe));
  }
}

std::optional<Pipe> PipePool::take() {
  if (idle_.empty()) return make_pipe();
  Pipe pipe = std::move(idle_.back());
  idle_.pop_back();
  return pipe;
}

void PipePool::give_back(Pipe pipe) {
  if (idle_.size() < kept_) idle_.push_back(std::move(pipe));
}

}  // namespace ptrain::relay
