#include "libcommon/os/reload_signal.h"

#include <atomic>
#include <csignal>

namespace ptrain::os {
namespace {

// A signal handler reaches nothing but globals.
std::atomic<bool> pending{false};
static_assert(std::atomic<bool>::is_always_lock_free);

void on_signal(int) { pending.store(true); }

void handle(void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGHUP, &action, nullptr);
}

}  // namespace

ReloadSignal::ReloadSignal() {
  pending.store(false);
  handle(on_signal);
}

ReloadSignal::~ReloadSignal() { handle(SIG_DFL); }

bool ReloadSignal::take() { return pending.exchange(false); }

}  // namespace ptrain::os
