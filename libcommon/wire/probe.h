// What an asker and a server of probes say to each other: values, their encoding, their bounds.
//
// One test at a time has the server's place: the asker reserves it, has echoes answered, sends
// bytes that the server counts, and has bytes sent that it counts itself (ptrain-net(7)). Reading
// trusts nothing: what no honest peer says is Malformed. Pure.

#pragma once

#include <chrono>
#include <cstdint>
#include <variant>

#include "libcommon/base/units.h"
#include "libcommon/wire/buffer.h"
#include "libcommon/wire/envelope.h"
#include "libcommon/wire/message.h"

namespace ptrain::wire {

inline constexpr std::size_t kMaxProbeOrderBytes = 256;
inline constexpr std::size_t kMaxProbeReportBytes = 256;
// Of one message that is sent to be measured.
inline constexpr std::size_t kMaxProbeBytes = std::size_t{64} << 10;
// Beyond these nobody means what they say.
inline constexpr std::uint64_t kMaxProbeBudgetBytes = std::uint64_t{1} << 40;
inline constexpr std::chrono::microseconds kMaxProbeTime = std::chrono::hours(1);
inline constexpr std::chrono::microseconds kMaxProbeRoundTrip = std::chrono::minutes(1);

// Of each way.
struct ProbeLimits {
  ByteCount bytes;
  std::chrono::microseconds time{};
  std::uint64_t rate_bytes_per_s = 0;  // 0: none
  bool operator==(const ProbeLimits&) const = default;
};

// ---- The asker's orders.

struct ProbeReserve {
  ProbeLimits limits;
  bool operator==(const ProbeReserve&) const = default;
};
struct ProbeEcho {  // an order, and the answer to it
  std::uint64_t number = 0;
  bool operator==(const ProbeEcho&) const = default;
};
struct ProbeReceive {
  ProbeLimits limits;
  bool operator==(const ProbeReceive&) const = default;
};
struct ProbeSend {
  ProbeLimits limits;
  std::chrono::microseconds round_trip{};
  bool operator==(const ProbeSend&) const = default;
};
struct ProbeHalt {
  bool operator==(const ProbeHalt&) const = default;
};
struct ProbeRelease {
  bool operator==(const ProbeRelease&) const = default;
};
using ProbeOrder =
    std::variant<ProbeReserve, ProbeEcho, ProbeReceive, ProbeSend, ProbeHalt, ProbeRelease>;

// ---- The server's reports.

struct ProbeGranted {
  ProbeLimits limits;
  bool operator==(const ProbeGranted&) const = default;
};
struct ProbeBusy {
  std::chrono::microseconds at_most{};
  bool operator==(const ProbeBusy&) const = default;
};
struct ProbeArrived {
  ByteCount bytes;                    // since the test began
  std::chrono::microseconds since{};  // the first of them
  bool operator==(const ProbeArrived&) const = default;
};
struct ProbeSent {
  ByteCount bytes;
  bool operator==(const ProbeSent&) const = default;
};
using ProbeReport = std::variant<ProbeGranted, ProbeBusy, ProbeEcho, ProbeArrived, ProbeSent>;

// Preconditions: within the bounds above.
Message probe_order_message(std::uint64_t test, const ProbeOrder& order);
Message probe_report_message(std::uint64_t test, const ProbeReport& report);
Message probe_bytes_message(std::uint64_t test, Buffer bytes);

// Of a message of any kind; another than the right one is Malformed as well.
std::variant<ProbeOrder, Malformed> read_probe_order(const Message& message);
std::variant<ProbeReport, Malformed> read_probe_report(const Message& message);

}  // namespace ptrain::wire
