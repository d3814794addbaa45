// Errands of a server of probes: it measures, as an asker, the links to other servers of its run,
// one after the other, for whoever measures those between all of them.
//
// A thread of its own does it, which keeps sessions with all that may be wanted, so that an errand
// begins at once. Its owner's thread calls everything else; nothing blocks but the destructor, for
// less than a second.

#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "libcommon/base/clock.h"
#include "libcommon/base/log.h"
#include "libcommon/net/keys.h"
#include "libcommon/net/node.h"
#include "libcommon/probe/link_test.h"
#include "libcommon/wire/probe.h"

namespace ptrain::probe {

// Round trips of an idle link, on an errand: there are many errands.
inline constexpr std::size_t kErrandEchoes = 12;
// For the other server to be there and to have time, and for what is under way to arrive, beyond
// the time of the ways: then it is given up, so that it costs no other errand its time.
inline constexpr std::chrono::seconds kErrandBesides{8};

wire::ProbeMeasured measured(const LinkFigures& figures);
wire::ProbeMeasured failed(const std::string& why);

class ErrandRunner {
 public:
  // `log` and `clock` outlive the object, and may be used by any thread.
  ErrandRunner(net::Meeting meeting, net::KeyPair key, Log& log, const Clock& clock);
  ~ErrandRunner();
  ErrandRunner(const ErrandRunner&) = delete;
  ErrandRunner& operator=(const ErrandRunner&) = delete;

  // Sessions with these are wanted; what was known of others is forgotten.
  void seek(std::vector<std::string> names);
  bool busy() const { return busy_; }
  // Precondition: not busy.
  void begin(wire::ProbeErrand errand);
  // Once, when it is over.
  std::optional<wire::ProbeMeasured> take_result();
  // Nobody waits for it any more.
  void abandon() { abandoned_ = true; }

 private:
  void run();
  void work(std::optional<LinkTest>& test, const wire::ProbeErrand& errand);
  void rest(std::optional<LinkTest>& test);
  void prepare(std::optional<LinkTest>& test, const std::vector<std::string>& names);
  void finish(wire::ProbeMeasured result);

  const net::Meeting meeting_;
  const net::KeyPair key_;
  Log& log_;
  const Clock& clock_;

  std::mutex mutex_;
  std::condition_variable wake_;
  std::optional<std::vector<std::string>> names_;  // to be sought from now on
  std::optional<wire::ProbeErrand> errand_;        // to be begun
  std::optional<wire::ProbeMeasured> result_;
  std::atomic<bool> busy_ = false;
  std::atomic<bool> abandoned_ = false;
  std::atomic<bool> ending_ = false;
  TimePoint until_{};   // the errand is given up; of the thread
  std::thread thread_;  // last: it uses the members above
};

}  // namespace ptrain::probe
