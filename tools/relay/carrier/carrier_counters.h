// What the data port has done and has, readable by any thread while it works.

#pragma once

#include <atomic>
#include <cstdint>

namespace ptrain::relay {

struct CarrierTotals {
  std::uint64_t handshakes = 0;  // going on
  std::uint64_t waiting = 0;     // connections without their partner
  std::uint64_t streams = 0;     // joined pairs
  std::uint64_t accepted = 0;    // connections, since the start; so are all below
  std::uint64_t joined = 0;
  std::uint64_t bytes = 0;         // carried, both ways
  std::uint64_t refused = 0;       // handshakes with a wrong request, or a token that is none
  std::uint64_t over_limits = 0;   // connections turned away for a quota or a rate
  std::uint64_t timed_out = 0;     // handshakes, waits, and idle or too old streams
  std::uint64_t revoked = 0;       // connections cut because a lease ended
  std::uint64_t replaced = 0;      // connections cut because their owner came anew
  std::uint64_t out_of_files = 0;  // times that the process had no descriptor left
};

struct CarrierCounters {
  std::atomic<std::uint64_t> handshakes, waiting, streams, accepted, joined, bytes, refused,
      over_limits, timed_out, revoked, replaced, out_of_files;

  CarrierTotals read() const {
    return {handshakes, waiting,     streams,   accepted, joined,   bytes,
            refused,    over_limits, timed_out, revoked,  replaced, out_of_files};
  }
};

}  // namespace ptrain::relay
