// How much memory this process holds, from /proc/self; 0 where that cannot be read: a figure for
// people is not worth a run.

#pragma once

#include <cstdint>

namespace ptrain::metrics {

std::uint64_t rss_bytes();       // resident now
std::uint64_t peak_rss_bytes();  // the most that was ever resident

}  // namespace ptrain::metrics
