// A thread that consumes the pieces of a byte stream, in their order, while its owner
// makes the next ones: what lets a hash run beside the writing of a file.
//
// The owner is one thread. What the consumer throws surfaces at the next push() or finish().

#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <span>
#include <thread>

namespace ptrain::ckpt {

class PieceConsumer {
 public:
  using Piece = std::span<const std::byte>;
  static constexpr std::size_t kMostWaiting = 2;
  // A piece's bytes stay unchanged until so many more have been pushed: one is being consumed,
  // and kMostWaiting wait.
  static constexpr std::size_t kPiecesInUse = kMostWaiting + 1;

  explicit PieceConsumer(std::function<void(Piece)> consume);
  // Drops what waits.
  ~PieceConsumer();
  PieceConsumer(const PieceConsumer&) = delete;
  PieceConsumer& operator=(const PieceConsumer&) = delete;

  // Returns when at most kMostWaiting pieces wait, this one included.
  void push(Piece piece);
  // Returns when all pieces have been consumed. More may follow.
  void finish();

 private:
  void work();

  const std::function<void(Piece)> consume_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Piece> waiting_;
  bool consuming_ = false;
  bool stopping_ = false;
  std::exception_ptr error_;
  std::thread thread_;  // last: it uses the members above
};

}  // namespace ptrain::ckpt
