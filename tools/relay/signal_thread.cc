#include "tools/relay/signal_thread.h"

#include <poll.h>

namespace ptrain::relay {
namespace {

sigset_t handled_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&signals, signal);
  return signals;
}

}  // namespace

SignalThread::SignalThread() {
  const sigset_t signals = handled_signals();
  pthread_sigmask(SIG_BLOCK, &signals, &before_);
  thread_ = std::thread([this] { run(); });
}

SignalThread::~SignalThread() {
  stop_bell_.ring();
  thread_.join();
  pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

void SignalThread::run() const {
  pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  pollfd waiting{.fd = stop_bell_.fd(), .events = POLLIN, .revents = 0};
  while (::poll(&waiting, 1, -1) != 1) {
  }
}

}  // namespace ptrain::relay
