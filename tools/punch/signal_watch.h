// Signals as events of a loop, by signalfd(2): those that stop us, or that a command is to get.
//
// Made by main before there are threads. A signal that was ignored when the program began (nohup,
// or & in a script) stays ignored. The loop outlives the object.

#pragma once

#include <csignal>
#include <functional>
#include <memory>
#include <vector>

#include <sys/signalfd.h>

#include "libcommon/os/file_descriptor.h"
#include "libcommon/os/loop.h"

namespace ptrain::punch {

class SignalWatch {
 public:
  using Came = std::function<void(const signalfd_siginfo&)>;
  // Throws Error(io).
  SignalWatch(os::Loop& loop, const std::vector<int>& signals, Came came);
  ~SignalWatch();
  SignalWatch(const SignalWatch&) = delete;
  SignalWatch& operator=(const SignalWatch&) = delete;

  // What was blocked before: for a child.
  const sigset_t& mask_before() const { return before_; }

 private:
  void read();

  sigset_t before_{};
  os::FileDescriptor file_;
  Came came_;
  std::unique_ptr<os::Loop::Watch> watch_;
};

}  // namespace ptrain::punch
