#include "tools/relay/line_writer.h"

#include <cerrno>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <utility>

#include <poll.h>
#include <unistd.h>

#include "libcommon/os/quiet_thread.h"

namespace ptrain::relay {

struct LineWriter::State {
  int fd;
  Lost lost;
  std::size_t max_bytes;

  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::string> lines;
  std::size_t bytes = 0;
  std::uint64_t unsaid = 0;  // dropped, and not told of yet
  std::uint64_t dropped = 0;
  bool ending = false;
  bool idle = true;
  bool dead = false;  // it takes nothing any more
};

namespace {

// False when the descriptor takes nothing any more.
bool write_all(int fd, const std::string& text) {
  for (std::size_t done = 0; done < text.size();) {
    const ssize_t count = ::write(fd, text.data() + done, text.size() - done);
    if (count >= 0) {
      done += static_cast<std::size_t>(count);
    } else if (errno == EAGAIN) {
      pollfd waiting{.fd = fd, .events = POLLOUT, .revents = 0};
      ::poll(&waiting, 1, -1);
    } else if (errno != EINTR) {
      return false;
    }
  }
  return true;
}

}  // namespace

LineWriter::LineWriter(int fd, Lost lost, std::size_t max_bytes)
    : state_(std::make_shared<State>()) {
  state_->fd = fd;
  state_->lost = std::move(lost);
  state_->max_bytes = max_bytes;
  os::quiet_thread([state = state_] { write_lines(state); }).detach();
}

LineWriter::~LineWriter() {
  std::unique_lock lock(state_->mutex);
  state_->ending = true;
  state_->changed.notify_all();
  state_->changed.wait_for(
      lock, kFlush, [this] { return state_->dead || (state_->lines.empty() && state_->idle); });
}

void LineWriter::put(std::string line) {
  line += '\n';
  const std::scoped_lock lock(state_->mutex);
  std::string before;
  if (state_->unsaid > 0) before = state_->lost(state_->unsaid) + '\n';
  if (state_->bytes + before.size() + line.size() > state_->max_bytes) {
    ++state_->unsaid;
    ++state_->dropped;
    return;
  }
  state_->unsaid = 0;
  state_->bytes += before.size() + line.size();
  state_->lines.push_back(before + line);
  state_->changed.notify_all();
}

std::uint64_t LineWriter::dropped() const {
  const std::scoped_lock lock(state_->mutex);
  return state_->dropped;
}

void LineWriter::write_lines(const std::shared_ptr<State>& state) {
  std::unique_lock lock(state->mutex);
  while (true) {
    state->changed.wait(lock, [&] { return !state->lines.empty() || state->ending; });
    if (state->lines.empty()) return;
    const std::string text = std::move(state->lines.front());
    state->lines.pop_front();
    state->bytes -= text.size();
    state->idle = false;
    lock.unlock();
    const bool taken = write_all(state->fd, text);
    lock.lock();
    state->idle = true;
    if (!taken) {
      // Nobody is there any more: what is put in from now on fills the queue and is counted.
      state->dead = true;
      state->changed.notify_all();
      return;
    }
    if (state->lines.empty()) state->changed.notify_all();
  }
}

}  // namespace ptrain::relay
