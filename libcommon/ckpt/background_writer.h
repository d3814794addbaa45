// Saving behind the training: one worker thread, one save at a time.
//
//   stalled = writer.wait_until_idle();   // the previous save, if it still runs
//   snapshot.assign(tensors);             // the copy at the step boundary
//   writer.submit([&] { store.write_stage(...); });
//
// What a save throws surfaces at the next call of the owner, once. The owner is
// one thread; the destructor waits for the save that runs.

#pragma once

#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>

#include "libcommon/base/clock.h"

namespace ptrain::ckpt {

class BackgroundWriter {
 public:
  // `clock` outlives the object.
  explicit BackgroundWriter(const Clock& clock);
  ~BackgroundWriter();
  BackgroundWriter(const BackgroundWriter&) = delete;
  BackgroundWriter& operator=(const BackgroundWriter&) = delete;

  // Waits for the save in flight, if any; returns how long that took. Rethrows its error.
  Duration wait_until_idle();
  // Starts `save` on the worker; returns how long an earlier one had to be waited for.
  Duration submit(std::function<void()> save);
  bool idle() const { return idle_within(Duration::zero()); }
  // Waits at most that long; true when no save runs any more, whatever became of it.
  bool idle_within(Duration timeout) const;

 private:
  void work();

  const Clock& clock_;
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::function<void()> save_;  // set: waiting for the worker, or running on it
  std::exception_ptr error_;
  bool stopping_ = false;
  std::thread worker_;  // last: it uses the members above
};

}  // namespace ptrain::ckpt
