#include "libcommon/os/stop_signal.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>

#include <poll.h>
#include <unistd.h>

#include "libcommon/base/quiet.h"
#include "libcommon/os/signal_action.h"
#include "libcommon/os/stop_rules.h"

namespace ptrain::os {
namespace {

struct Watched {
  int number;
  const char* said;
};
constexpr std::array kWatched{Watched{SIGINT, ": SIGINT: stopping (Ctrl-C again leaves now)\n"},
                              Watched{SIGTERM, ": SIGTERM: stopping\n"},
                              Watched{SIGHUP, ": SIGHUP: stopping\n"}};

// A signal handler reaches nothing but globals: the one place that has some.
StopRules rules;
const char* program_name = "";
std::array<struct sigaction, kWatched.size()> before{};
struct sigaction alarm_before {};

// "NAME: TEXT", in one write. A pipe that nobody empties, and a terminal that Ctrl-S holds, must
// not hold us.
void say(const char* text) {
  std::array<char, 128> line;
  std::size_t length = 0;
  for (const char* part : {program_name, text}) {
    const std::size_t size = std::min(std::strlen(part), line.size() - length);
    std::memcpy(line.data() + length, part, size);
    length += size;
  }
  pollfd waiting{.fd = STDERR_FILENO, .events = POLLOUT, .revents = 0};
  if (::poll(&waiting, 1, 0) != 1) return;
  const auto ignored = ::write(STDERR_FILENO, line.data(), length);
  static_cast<void>(ignored);
}

Duration now() {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

void on_stop_signal(int number) {
  const int saved_errno = errno;
  switch (rules.hear(number, now())) {
    case StopAnswer::begin:
      ::alarm(static_cast<unsigned>(kLeaveWithin.count()));
      for (const Watched& watched : kWatched) {
        if (watched.number == number && !is_quiet()) say(watched.said);
      }
      break;
    case StopAnswer::leave_now:
      ::_exit(128 + number);
    case StopAnswer::nothing:
      break;
  }
  errno = saved_errno;
}

void on_alarm(int) {
  say(": this takes too long: left with what was saved before\n");
  ::_exit(128 + rules.first());
}

}  // namespace

StopSignal::StopSignal(const char* program) {
  program_name = program;
  rules.reset();
  for (std::size_t i = 0; i < kWatched.size(); ++i) {
    before[i] = handle_signal(kWatched[i].number, on_stop_signal, IfIgnored::stays_ignored);
  }
  alarm_before = handle_signal(SIGALRM, on_alarm, IfIgnored::is_handled);
}

StopSignal::~StopSignal() {
  ::alarm(0);
  ::sigaction(SIGALRM, &alarm_before, nullptr);
  for (std::size_t i = 0; i < kWatched.size(); ++i) {
    ::sigaction(kWatched[i].number, &before[i], nullptr);
  }
}

int StopSignal::signal_number() const { return rules.first(); }

}  // namespace ptrain::os
