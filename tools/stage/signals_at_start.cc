#include "tools/stage/signals_at_start.h"

#include <array>
#include <csignal>

namespace ptrain::stage {
namespace {

constexpr int kSignals = 31;  // those that are not for real time
std::array<struct sigaction, kSignals + 1> at_start;

void note_signals() {
  for (int number = 1; number <= kSignals; ++number) {
    ::sigaction(number, nullptr, &at_start[static_cast<std::size_t>(number)]);
  }
}

// What a program has in there is called before any library's constructor.
using Note = void (*)();
[[gnu::section(".preinit_array"), gnu::used]] Note before_libraries = note_signals;

}  // namespace

void undo_what_libraries_did_to_signals() {
  for (int number = 1; number <= kSignals; ++number) {
    ::sigaction(number, &at_start[static_cast<std::size_t>(number)], nullptr);
  }
}

}  // namespace ptrain::stage
