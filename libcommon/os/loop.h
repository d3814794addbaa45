// An event loop: descriptors that can be read, timers, and what other threads ask for, one after
// the other on one thread.
//
// By interface, so that a test drives what stands on it through virtual time. Everything but
// post() and stop() belongs to the loop's thread (or, before run(), to whoever sets it up). What a
// registration calls may end any registration, its own too. A wake-up costs what is ready, not what
// is registered.

#pragma once

#include <functional>
#include <memory>

#include "libcommon/base/clock.h"

namespace ptrain::os {

class Loop {
 public:
  using Callback = std::function<void()>;
  virtual ~Loop() = default;

  // A descriptor that is watched; ends with the object. The descriptor is somebody else's.
  class Watch {
   public:
    virtual ~Watch() = default;
    // The descriptor may have been closed and another have got its number: it is entered anew.
    virtual void renew() = 0;
  };
  class Timer {
   public:
    virtual ~Timer() = default;
    // Once, then; TimePoint::max() for never. The last call counts.
    virtual void set(TimePoint when) = 0;
  };

  // Of this round: it stands still while one callback after the other is called.
  virtual TimePoint now() const = 0;
  // Called in each round in which `fd` can be read.
  virtual std::unique_ptr<Watch> watch(int fd, Callback readable) = 0;
  virtual std::unique_ptr<Timer> timer(Callback due) = 0;
  // Before the loop waits again.
  virtual void defer(Callback callback) = 0;

  // From any thread: in the loop's, soon, in the order of the calls, and before what has become
  // readable since.
  virtual void post(Callback callback) = 0;
  // Until stop().
  virtual void run() = 0;
  virtual void stop() = 0;
};

}  // namespace ptrain::os
