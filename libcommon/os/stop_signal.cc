#include "libcommon/os/stop_signal.h"

#include <csignal>
#include <cstring>

#include <unistd.h>

namespace ptrain::os {
namespace {

// A signal handler reaches nothing but globals: the one place that has some.
volatile std::sig_atomic_t first_signal = 0;
const char* program_name = "";

void write_text(const char* text) {
  const auto ignored = ::write(STDERR_FILENO, text, std::strlen(text));
  static_cast<void>(ignored);
}

void on_signal(int number) {
  if (first_signal != 0) ::_exit(128 + number);
  first_signal = number;
  write_text(program_name);
  write_text(number == SIGINT ? ": SIGINT" : ": SIGTERM");
  write_text(": stopping (again to leave now)\n");
}

void handle(int number, void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  sigemptyset(&action.sa_mask);
  ::sigaction(number, &action, nullptr);
}

}  // namespace

StopSignal::StopSignal(const char* program) {
  program_name = program;
  first_signal = 0;
  handle(SIGINT, on_signal);
  handle(SIGTERM, on_signal);
}

StopSignal::~StopSignal() {
  handle(SIGINT, SIG_DFL);
  handle(SIGTERM, SIG_DFL);
}

int StopSignal::signal_number() const { return first_signal; }

}  // namespace ptrain::os
