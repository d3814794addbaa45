#include "libcommon/ckpt/piece_consumer.h"

#include <utility>

namespace ptrain::ckpt {

PieceConsumer::PieceConsumer(std::function<void(Piece)> consume)
    : consume_(std::move(consume)), thread_([this] { work(); }) {}

PieceConsumer::~PieceConsumer() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void PieceConsumer::push(Piece piece) {
  std::unique_lock lock(mutex_);
  waiting_.push_back(piece);
  changed_.notify_all();
  changed_.wait(lock, [this] { return waiting_.size() <= kMostWaiting || error_; });
  if (error_) std::rethrow_exception(error_);
}

void PieceConsumer::finish() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return (waiting_.empty() && !consuming_) || error_; });
  if (error_) std::rethrow_exception(error_);
}

// Ends after an error: the stream has a hole then.
void PieceConsumer::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return !waiting_.empty() || stopping_; });
    if (stopping_) return;
    const Piece piece = waiting_.front();
    waiting_.pop_front();
    consuming_ = true;
    changed_.notify_all();
    lock.unlock();
    std::exception_ptr error;
    try {
      consume_(piece);
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    consuming_ = false;
    error_ = error;
    changed_.notify_all();
    if (error_) return;
  }
}

}  // namespace ptrain::ckpt
