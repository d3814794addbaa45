#include "tools/relay/carrier/flow.h"

#include <cerrno>
#include <utility>

#include <fcntl.h>
#include <sys/socket.h>

namespace ptrain::relay {

Flow::Turn Flow::turn(std::size_t budget, PipePool& pipes) {
  Turn result;
  while (result.moved < budget) {
    if (in_pipe_ == 0) {
      if (told_) {
        result.state = State::ended;
        return result;
      }
      const Step step = fill(pipes);
      if (step == Step::no_pipe) result.state = State::no_pipe;
      if (step == Step::broken) result.state = State::broken;
      if (step != Step::moved) return result;
      if (in_pipe_ == 0) continue;  // that was the end
    }
    const std::size_t before = in_pipe_;
    const Step step = drain(pipes);
    if (step == Step::broken) result.state = State::broken;
    if (step != Step::moved) return result;
    result.moved += before - in_pipe_;
  }
  result.state = State::more;
  return result;
}

// Only into an empty pipe: so "not ready" is said of the socket, never of the pipe.
Flow::Step Flow::fill(PipePool& pipes) {
  if (!readable_) return Step::blocked;
  pipe_ = pipes.take();
  if (!pipe_) return Step::no_pipe;
  const ssize_t moved = ::splice(from_, nullptr, pipe_->write_end.get(), nullptr, kPipeBytes,
                                 SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
  const int error_number = errno;
  if (moved > 0) {
    in_pipe_ = static_cast<std::size_t>(moved);
    return Step::moved;
  }
  pipes.give_back(*std::exchange(pipe_, std::nullopt));
  if (moved < 0) {
    if (error_number != EAGAIN) return Step::broken;
    readable_ = false;
    return Step::blocked;
  }
  // The receiver may have gone already; its own flow finds out.
  ::shutdown(to_, SHUT_WR);
  told_ = true;
  return Step::moved;
}

Flow::Step Flow::drain(PipePool& pipes) {
  if (!writable_) return Step::blocked;
  const ssize_t moved = ::splice(pipe_->read_end.get(), nullptr, to_, nullptr, in_pipe_,
                                 SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
  if (moved < 0) {
    if (errno != EAGAIN) return Step::broken;
    writable_ = false;
    return Step::blocked;
  }
  in_pipe_ -= static_cast<std::size_t>(moved);
  if (in_pipe_ == 0) pipes.give_back(*std::exchange(pipe_, std::nullopt));
  return Step::moved;
}

}  // namespace ptrain::relay
