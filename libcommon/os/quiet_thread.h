// A thread that no signal reaches: they are the main thread's, and no system call of this one
// is cut short. SIGPIPE too, which splice(2) and send(2) would raise otherwise.

#pragma once

#include <csignal>
#include <memory>
#include <thread>
#include <utility>

namespace ptrain::os {

// Throws std::system_error when there can be none.
template <class Body>
std::thread quiet_thread(Body body) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const auto restore = [](const sigset_t* mask) { pthread_sigmask(SIG_SETMASK, mask, nullptr); };
  const std::unique_ptr<const sigset_t, decltype(restore)> as_before(&before, restore);
  return std::thread(std::move(body));
}

}  // namespace ptrain::os
