#include "libcommon/os/reload_signal.h"

#include <atomic>

#include "libcommon/os/signal_action.h"

namespace ptrain::os {
namespace {

// A signal handler reaches nothing but globals.
std::atomic<bool> pending{false};
static_assert(std::atomic<bool>::is_always_lock_free);

void on_signal(int) { pending.store(true); }

}  // namespace

ReloadSignal::ReloadSignal() {
  pending.store(false);
  before_ = handle_signal(SIGHUP, on_signal, IfIgnored::is_handled);
}

ReloadSignal::~ReloadSignal() { ::sigaction(SIGHUP, &before_, nullptr); }

bool ReloadSignal::take() { return pending.exchange(false); }

}  // namespace ptrain::os
