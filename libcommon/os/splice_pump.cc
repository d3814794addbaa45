#include "libcommon/os/splice_pump.h"

#include <algorithm>
#include <cerrno>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libcommon/base/error.h"

namespace ptrain::os {
namespace {

constexpr int kPipeBytes = 256 << 10;
constexpr unsigned kFlags = SPLICE_F_MOVE | SPLICE_F_NONBLOCK;

}  // namespace

SplicePump::SplicePump(int source, int sink) : source_(source), sink_(sink) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) throw io_error("make a pipe", errno);
  out_ = FileDescriptor(ends[0]);
  in_ = FileDescriptor(ends[1]);
  // A larger pipe means fewer calls; where the user's allowance is spent, the default does.
  ::fcntl(in_.get(), F_SETPIPE_SZ, kPipeBytes);
}

SplicePump::State SplicePump::turn(std::size_t budget_bytes) {
  const std::uint64_t until = moved_ + budget_bytes;
  while (true) {
    if (held_ > 0) {
      const State state = drain();
      if (state != State::busy) return state;
      if (moved_ >= until) return State::busy;
    } else if (source_ended_) {
      ::shutdown(sink_, SHUT_WR);
      return State::ended;
    } else {
      const State state = fill();
      if (state != State::busy) return state;
    }
  }
}

SplicePump::State SplicePump::fill() {
  const ssize_t count = ::splice(source_, nullptr, in_.get(), nullptr, kPipeBytes, kFlags);
  if (count > 0) held_ += static_cast<std::size_t>(count);
  if (count == 0) source_ended_ = true;
  if (count >= 0 || errno == EINTR) return State::busy;
  return errno == EAGAIN ? State::hungry : State::broken;
}

SplicePump::State SplicePump::drain() {
  const ssize_t count = ::splice(out_.get(), nullptr, sink_, nullptr, held_, kFlags);
  if (count > 0) {
    held_ -= static_cast<std::size_t>(count);
    moved_ += static_cast<std::uint64_t>(count);
    return State::busy;
  }
  if (count < 0 && errno == EINTR) return State::busy;
  return count < 0 && errno == EAGAIN ? State::full : State::broken;
}

}  // namespace ptrain::os
