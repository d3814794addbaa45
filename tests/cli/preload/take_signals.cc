// Preloaded into a program: a library that takes SIGHUP over when it is loaded, as UCX does.

#include <csignal>

namespace {

[[gnu::constructor]] void take() {
  std::signal(SIGHUP, [](int) {});
}

}  // namespace
