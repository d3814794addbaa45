#include "tools/punch/signal_watch.h"

#include <cerrno>
#include <utility>

#include <unistd.h>

#include "libcommon/base/error.h"

namespace ptrain::punch {
namespace {

bool is_ignored(int number) {
  struct sigaction action {};
  ::sigaction(number, nullptr, &action);
  return action.sa_handler == SIG_IGN;
}

}  // namespace

SignalWatch::SignalWatch(os::Loop& loop, const std::vector<int>& signals, Came came)
    : came_(std::move(came)) {
  sigset_t watched;
  sigemptyset(&watched);
  for (const int number : signals) {
    // A child's end is to be heard of whatever was said of it before.
    if (number == SIGCHLD) ::signal(SIGCHLD, SIG_DFL);
    if (!is_ignored(number)) sigaddset(&watched, number);
  }
  ::pthread_sigmask(SIG_BLOCK, &watched, &before_);
  file_ = os::FileDescriptor(::signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!file_.valid()) throw io_error("watch for signals", errno);
  watch_ = loop.watch(file_.get(), [this] { read(); });
}

SignalWatch::~SignalWatch() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

void SignalWatch::read() {
  signalfd_siginfo info{};
  while (::read(file_.get(), &info, sizeof info) == static_cast<ssize_t>(sizeof info)) came_(info);
}

}  // namespace ptrain::punch
