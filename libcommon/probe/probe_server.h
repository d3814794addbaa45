// Answers those who measure the link to this host: one of them at a time, within this host's own
// limits, whatever they ask for.
//
// An asker reserves the place; others are told that it is taken, and ask again. Who breaks the
// protocol, sends more or faster than was granted, or keeps the place beyond its time, is sent away
// with the reason. Members of its run may also send it on errands (errand_runner.h), one at a time;
// meanwhile the place is nobody's, unless the errand says that it may be. One thread.

#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "libcommon/base/clock.h"
#include "libcommon/base/log.h"
#include "libcommon/base/units.h"
#include "libcommon/net/node.h"
#include "libcommon/probe/errand_runner.h"
#include "libcommon/probe/flow_sender.h"
#include "libcommon/wire/probe.h"

namespace ptrain::probe {

// Of a matrix every other server comes, and half of them may come from one address: a relay's.
inline constexpr std::size_t kMaxAskers = 128;
// Echoes in the time of one place.
inline constexpr std::uint64_t kMaxEchoes = 20000;
// Beyond the time of both ways: round trips, and what is under way still.
inline constexpr std::chrono::seconds kPlaceBesides{30};
// What has arrived is told so often.
inline constexpr Duration kReportInterval = std::chrono::milliseconds(20);

struct TestReport {
  enum class Kind { began, ended } kind = Kind::began;
  ByteCount received{};
  ByteCount sent{};
  std::string why{};  // why it ended, where the asker did not say so
};

struct ProbeServerOptions {
  std::optional<net::Endpoint> listen;
  std::optional<net::Meeting> meeting{};  // with who measures in a run; needs the key
  std::string name{};                     // among its members
  std::optional<net::KeyPair> key;
  std::optional<std::set<net::PublicKey>> admitted;  // besides them; none: whoever comes
  wire::ProbeLimits limits;                          // of each way of a test
  std::function<void(const TestReport&)> observer = [](const TestReport&) {};
};

class ProbeServer {
 public:
  // Binds. Throws as net::Node does.
  ProbeServer(ProbeServerOptions options, Log& log, const Clock& clock);

  // Precondition: it listens somewhere.
  net::Endpoint listening() const { return node_.listening(); }
  // Answers until `stop` says so (asked every 100 ms), then says goodbye.
  void run(const std::function<bool()>& stop);

 private:
  // What comes from the asker.
  struct Receiving {
    std::uint64_t test = 0;
    wire::ProbeLimits limits;
    TimePoint begun;
    std::optional<TimePoint> first{};
    TimePoint last{};
    std::uint64_t bytes = 0;
    std::uint64_t reported = 0;
    TimePoint report_at{};
  };
  struct Place {
    net::WorkerId asker;
    wire::ProbeLimits limits;
    TimePoint until;
    std::uint64_t echoes = 0;
    std::optional<Receiving> receiving{};
    std::optional<FlowSender> sending{};
    std::uint64_t received = 0;  // of receiving that is over
    std::uint64_t sent = 0;
  };

  void take(net::NodeEvent event);
  void take(const net::Delivery& delivery);
  void count(std::uint64_t test, std::uint64_t payload_bytes);
  void obey(const net::WorkerId& asker, std::uint64_t test, const wire::ProbeOrder& order);
  void reserve(const net::WorkerId& asker, std::uint64_t test, const wire::ProbeReserve& order);
  void receive(std::uint64_t test, const wire::ProbeReceive& order);
  void send(std::uint64_t test, const wire::ProbeSend& order);
  void report_arrived();
  void seek(const net::WorkerId& asker, const wire::ProbeSeek& order);
  void run_errand(const net::WorkerId& asker, std::uint64_t test, wire::ProbeErrand errand);
  void report_errand();
  bool takes_errands(const net::WorkerId& asker);
  void pump();
  void end_flows(Place& place);
  void vacate(const std::string& why);
  void send_away(const std::string& why);
  void tell(std::uint64_t test, const wire::ProbeReport& report);
  Duration patience() const;

  ProbeServerOptions options_;
  Log& log_;
  const Clock& clock_;
  net::Node node_;
  std::optional<Place> place_;
  struct Errand {
    net::WorkerId asker;
    std::uint64_t test = 0;
    TimePoint until;
    bool beside = false;
  };
  std::optional<Errand> errand_;
  std::optional<net::WorkerId> seeker_;    // whose errands they are
  std::unique_ptr<ErrandRunner> errands_;  // once one was wanted
};

}  // namespace ptrain::probe
