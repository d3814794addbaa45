// A thread to which the signals of the process go, so that no other is interrupted by them: a
// signal ends any call of libzmq that it meets, and not all of them can be made again.
//
// Made by main before any other thread, and after the handlers; those that are made later are
// interrupted by nothing. What the handlers leave is looked up by loops (os/stop_signal.h).

#pragma once

#include <csignal>
#include <thread>

#include "tools/relay/carrier/doorbell.h"

namespace ptrain::relay {

class SignalThread {
 public:
  SignalThread();
  ~SignalThread();
  SignalThread(const SignalThread&) = delete;
  SignalThread& operator=(const SignalThread&) = delete;

 private:
  void run() const;

  sigset_t before_;
  Doorbell stop_bell_;
  std::thread thread_;
};

}  // namespace ptrain::relay
