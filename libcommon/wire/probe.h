// What an asker and a server of probes say to each other: values, their encoding, their bounds.
//
// One test at a time has the server's place: the asker reserves it, has echoes answered, sends
// bytes that the server counts, and has bytes sent that it counts itself (ptrain-net(7)). Reading
// trusts nothing: what no honest peer says is Malformed. Pure.
//
// A server may also be sent on an errand: to measure, as an asker, the link to another server of
// the run, for one that measures the links between all of them.

#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "libcommon/base/units.h"
#include "libcommon/wire/buffer.h"
#include "libcommon/wire/envelope.h"
#include "libcommon/wire/message.h"

namespace ptrain::wire {

inline constexpr std::size_t kMaxProbeOrderBytes = 4096;
inline constexpr std::size_t kMaxProbeReportBytes = 2048;
// Of one message that is sent to be measured.
inline constexpr std::size_t kMaxProbeBytes = std::size_t{64} << 10;
// Beyond these nobody means what they say.
inline constexpr std::uint64_t kMaxProbeBudgetBytes = std::uint64_t{1} << 40;
inline constexpr std::chrono::microseconds kMaxProbeTime = std::chrono::hours(1);
inline constexpr std::chrono::microseconds kMaxProbeRoundTrip = std::chrono::minutes(1);
inline constexpr double kMaxProbeRate = 1e15;  // bytes a second
// Servers of a run that one may be sent to.
inline constexpr std::size_t kMaxProbeSought = 64;
inline constexpr std::size_t kMaxProbeNameChars = 32;
inline constexpr std::size_t kMaxProbeTextBytes = 400;  // a failure, a path

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
struct ProbeSeek {
  std::vector<std::string> names;
  bool operator==(const ProbeSeek&) const = default;
};
struct ProbeErrand {
  std::string to;
  ProbeLimits limits;
  bool to_peer = true;
  bool from_peer = true;
  bool beside = false;
  bool operator==(const ProbeErrand&) const = default;
};
using ProbeOrder = std::variant<ProbeReserve, ProbeEcho, ProbeReceive, ProbeSend, ProbeHalt,
                                ProbeRelease, ProbeSeek, ProbeErrand>;

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
struct ProbeRoundTrips {
  std::uint32_t count = 0;
  std::chrono::microseconds least{};
  std::chrono::microseconds median{};
  std::chrono::microseconds p99{};
  std::chrono::microseconds jitter{};
  bool operator==(const ProbeRoundTrips&) const = default;
};
struct ProbeWay {
  // Bytes a second; 0: not known.
  double rate = 0;
  double low = 0;
  double high = 0;
  double coarse = 0;
  bool steady = false;
  std::uint8_t limited_by = 0;  // kProbeLimitNames
  ByteCount bytes{};
  std::chrono::microseconds time{};
  std::chrono::microseconds loaded_median{};
  std::chrono::microseconds loaded_p99{};
  bool operator==(const ProbeWay&) const = default;
};
inline constexpr std::uint8_t kProbeLimitNames = 4;  // nothing, bytes, time, rate
struct ProbeMeasured {
  std::string failure{};  // empty: there are figures
  bool busy = false;
  std::string path{};
  std::string route{};  // "direct"; empty: not known
  ProbeRoundTrips round_trips{};
  ProbeWay to_peer{};
  ProbeWay from_peer{};
  bool operator==(const ProbeMeasured&) const = default;
};
using ProbeReport =
    std::variant<ProbeGranted, ProbeBusy, ProbeEcho, ProbeArrived, ProbeSent, ProbeMeasured>;

// Preconditions: within the bounds above.
Message probe_order_message(std::uint64_t test, const ProbeOrder& order);
Message probe_report_message(std::uint64_t test, const ProbeReport& report);
Message probe_bytes_message(std::uint64_t test, Buffer bytes);

// Of a message of any kind; another than the right one is Malformed as well.
std::variant<ProbeOrder, Malformed> read_probe_order(const Message& message);
std::variant<ProbeReport, Malformed> read_probe_report(const Message& message);

}  // namespace ptrain::wire
