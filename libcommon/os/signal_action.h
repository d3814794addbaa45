// A handler for a signal, and what was there before it.
//
// System calls that a handler interrupts return EINTR: a loop looks at what the signal said.

#pragma once

#include <csignal>

namespace ptrain::os {

enum class IfIgnored { stays_ignored, is_handled };

// Returns what was there before. Where the signal was ignored and stays so, nothing changes.
inline struct sigaction handle_signal(int number, void (*handler)(int), IfIgnored if_ignored) {
  struct sigaction before {};
  ::sigaction(number, nullptr, &before);
  if (before.sa_handler == SIG_IGN && if_ignored == IfIgnored::stays_ignored) return before;
  struct sigaction action {};
  action.sa_handler = handler;
  sigemptyset(&action.sa_mask);
  ::sigaction(number, &action, nullptr);
  return before;
}

}  // namespace ptrain::os
