// A thread that no signal reaches: they are the main thread's, and no system call of this one
// is cut short. SIGPIPE too, which splice(2) and send(2) would raise otherwise.

#pragma once

#include <csignal>
#include <thread>
#include <utility>

namespace ptrain::os {

template <class Body>
std::thread quiet_thread(Body body) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread thread(std::move(body));
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return thread;
}

}  // namespace ptrain::os
