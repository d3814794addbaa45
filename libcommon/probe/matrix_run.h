// Measures the links between all servers of probes of a run: finds them through its relays, sends
// them on errands to one another (errand_runner.h) as the schedule says, and then all at once. One
// thread.
//
// Nothing that one of them does, or fails to do, costs more than its own edges, and a bounded time.

#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "libcommon/base/clock.h"
#include "libcommon/base/log.h"
#include "libcommon/net/node.h"
#include "libcommon/probe/link_matrix.h"
#include "libcommon/probe/matrix_schedule.h"
#include "libcommon/wire/probe.h"

namespace ptrain::probe {

inline constexpr std::size_t kMostMatrixHosts = wire::kMaxProbeSought;
// Where nobody says whom to wait for: so long after the last one was found.
inline constexpr Duration kNobodyElse = std::chrono::seconds(3);
// For sessions between the servers to be there, and on their best paths.
inline constexpr Duration kMatrixSettles = std::chrono::milliseconds(3500);
// For an errand's report, beyond what the errand itself may take.
inline constexpr Duration kErrandReport = std::chrono::seconds(5);

// What it may cost, at most; said before the first test.
struct MatrixCost {
  std::size_t hosts = 0;
  std::size_t edges = 0;  // one way each
  std::uint64_t bytes = 0;
  Duration time{};
};

struct MatrixOptions {
  net::Meeting meeting;
  net::KeyPair key;
  std::vector<std::string> names{};  // none: all that there are
  wire::ProbeLimits limits;          // of each way
  Duration timeout =
      std::chrono::seconds(20);  // for all to appear, and for a busy one to have time
  std::function<void(const MatrixCost&)> announce = [](const MatrixCost&) {};
  std::function<void(const std::string&)> progress = [](const std::string&) {};
  std::function<bool()> stop = [] { return false; };
};

class MatrixRun {
 public:
  // Begins to look for the servers. Throws as net::Node does.
  MatrixRun(MatrixOptions options, Log& log, const Clock& clock);

  // nullopt where stop() said so (asked every 100 ms). Throws Error(unavailable) where there are
  // fewer than two servers.
  std::optional<LinkMatrix> measure();

 private:
  struct Stopped {};
  struct Known {
    net::WorkerId id;
    bool lost = false;
  };
  // An errand that was ordered.
  struct Running {
    Pair pair;
    wire::ProbeErrand errand;
    std::uint64_t number = 0;
    TimePoint ends;   // it is given up
    TimePoint until;  // a busy server is asked again
    std::optional<TimePoint> again{};
  };
  using Finished = std::function<void(const Running&, const wire::ProbeMeasured&)>;

  void find();
  bool all_found() const;
  void name_hosts();
  void make_acquainted();
  void measure_pairs();
  void measure_together();
  void order(Running& running);
  void begin(const Pair& pair, wire::ProbeErrand errand);
  void turn(Duration patience);
  void take(net::NodeEvent event);
  void take(const net::Delivery& delivery);
  void take(std::size_t host, std::uint64_t number, const wire::ProbeMeasured& measured);
  void lose(std::size_t host, const std::string& why);
  void look_after_errands();
  void finish(std::size_t index, const wire::ProbeMeasured& measured);
  void idle(Duration time);
  std::optional<std::size_t> host_of(const net::WorkerId& peer) const;
  MatrixCost cost() const;

  MatrixOptions options_;
  const Clock& clock_;
  net::Node node_;
  std::map<std::string, net::WorkerId> met_;  // by name
  TimePoint last_found_{};
  std::vector<Known> known_;  // the hosts of the matrix, in its order
  LinkMatrix matrix_;
  std::optional<MatrixSchedule> schedule_;
  std::vector<Running> running_;
  Finished finished_;
  std::uint64_t numbers_ = 0;
};

}  // namespace ptrain::probe
