#include "libcommon/ckpt/background_writer.h"

#include <utility>

namespace ptrain::ckpt {

BackgroundWriter::BackgroundWriter(const Clock& clock)
    : clock_(clock), worker_([this] { work(); }) {}

BackgroundWriter::~BackgroundWriter() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  worker_.join();
}

Duration BackgroundWriter::wait_until_idle() {
  const TimePoint start = clock_.now();
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return !save_; });
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  return clock_.now() - start;
}

Duration BackgroundWriter::submit(std::function<void()> save) {
  const Duration stalled = wait_until_idle();
  {
    const std::lock_guard lock(mutex_);
    save_ = std::move(save);
  }
  changed_.notify_all();
  return stalled;
}

bool BackgroundWriter::idle_within(Duration timeout) const {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, timeout, [this] { return !save_; });
}

void BackgroundWriter::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return save_ || stopping_; });
    if (!save_) return;
    lock.unlock();
    std::exception_ptr error;
    try {
      save_();  // nobody else touches it until it is cleared below
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    save_ = nullptr;
    error_ = error;
    changed_.notify_all();
  }
}

}  // namespace ptrain::ckpt
