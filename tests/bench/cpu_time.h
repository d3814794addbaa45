// Processor time of this process, of all its threads, in seconds.

#pragma once

#include <sys/resource.h>

namespace ptrain {

inline double cpu_s() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto in_s = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
  };
  return in_s(usage.ru_utime) + in_s(usage.ru_stime);
}

}  // namespace ptrain
