// Measures the link to a server of probes: the asker's side.
//
// A session as a job would have it, over the same paths; in it, one after the other, echoes on an
// idle link, bytes to the peer, bytes from the peer, each way with echoes beside it. A way ends
// when its rate is known well enough, or a budget is spent. What arrives is counted by who receives
// it, and what the peer says is checked: one that claims what cannot be ends the test with
// Error(corrupt), which names it. Of a run it may know several servers, and measure the link to one
// of them after the other. One thread.

#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libcommon/base/clock.h"
#include "libcommon/base/log.h"
#include "libcommon/base/units.h"
#include "libcommon/net/node.h"
#include "libcommon/probe/claim_check.h"
#include "libcommon/probe/echo_train.h"
#include "libcommon/probe/rate_estimate.h"
#include "libcommon/probe/round_trips.h"
#include "libcommon/wire/probe.h"

namespace ptrain::probe {

inline constexpr std::chrono::seconds kDefaultTime{10};
inline constexpr ByteCount kDefaultBytes{25'000'000};

// Of a server that a run's relays know.
struct SoughtPeer {
  net::Meeting meeting;
  std::string name;  // what it is called there; empty: whom aim() names
  std::optional<net::PublicKey> key{};
};

struct LinkTestOptions {
  std::optional<net::Endpoint> endpoint;  // or:
  std::optional<SoughtPeer> sought{};
  std::vector<std::string> others{};  // servers of the same run, by name: aim() may turn to them
  std::string peer;                   // for people
  std::optional<net::KeyPair> key{};
  std::uint8_t connections = 1;
  wire::ProbeLimits limits{.bytes = kDefaultBytes, .time = kDefaultTime};  // of each way
  Duration timeout = std::chrono::seconds(30);  // for the peer to appear, and to have time for us
  bool to_peer = true;
  bool from_peer = true;
  bool coarse = false;            // a way ends when its rate is known at a glance
  std::size_t idle_echoes = 100;  // round trips of an idle link; fewer where it is coarse
  std::function<void(const std::string&)> progress = [](const std::string&) {};
  std::function<bool()> stop = [] { return false; };
};

// Why a rate is not what the link carries, or not surely so.
enum class LimitedBy { nothing, bytes, time, rate };
std::string_view name_of(LimitedBy limit);

struct WayFigures {
  std::optional<double> coarse_bytes_per_s{};
  std::optional<RateEstimate> rate{};
  ByteCount bytes{};  // that arrived
  Duration time{};    // from the first to the last
  std::optional<RoundTrips> loaded{};
  LimitedBy limited_by = LimitedBy::nothing;
};

struct LinkFigures {
  std::chrono::system_clock::time_point began;
  std::string path;
  std::optional<net::Route> route{};
  std::uint64_t path_changes = 0;  // while it was measured
  RoundTrips idle;
  std::optional<WayFigures> to_peer{};
  std::optional<WayFigures> from_peer{};
  wire::ProbeLimits granted{};
};

class LinkTest {
 public:
  // Begins to look for the peer. Throws as net::Node does.
  LinkTest(LinkTestOptions options, Log& log, const Clock& clock);

  // nullopt where stop() said so (asked every 100 ms). Throws Error(unavailable) where the peer
  // does not come or is lost, try_again where it has no time for us, permission where it refuses
  // our key, corrupt where it says what cannot be.
  std::optional<LinkFigures> measure();
  // Keeps the session until then. False where stop() said so; throws where the peer is lost.
  bool idle_until(TimePoint end);

  // The next measure() is of that server, of `sought` and `others`, and of what is wanted here.
  struct Wishes {
    wire::ProbeLimits limits;
    bool to_peer = true;
    bool from_peer = true;
  };
  void aim(const std::string& name, const Wishes& wishes);
  // The place there is another's, as far as it is ours still, and nobody is aimed at any more.
  void give_up();

 private:
  struct Stopped {};
  // A way, while it is measured.
  struct Way {
    std::uint64_t test = 0;
    TimePoint begun;
    ArrivalSeries arrivals{};
    std::optional<TimePoint> first{};     // of what comes to us
    std::uint64_t bytes = 0;              // that arrived
    std::optional<std::uint64_t> sent{};  // in all, as the peer says
    ClaimCheck claims{};
    EchoTrain echoes;
    TimePoint look_at{};  // at what is known
    std::optional<double> coarse{};
  };

  LinkFigures measure_all();
  void connect();
  void reserve();
  RoundTrips measure_idle();
  void settle(LinkFigures& figures);
  WayFigures measure_to_peer();
  WayFigures measure_from_peer();
  Duration look_interval() const;
  bool enough(Way& way);
  WayFigures figures_of(Way& way, std::size_t arrivals);
  void await_echoes(EchoTrain& echoes);
  void ask_echo(EchoTrain& echoes);

  void turn(Duration patience);
  void take(net::NodeEvent event);
  void take(const net::Delivery& delivery);
  void take(std::uint64_t test, const wire::ProbeReport& report);
  void take_arrived(std::uint64_t test, const wire::ProbeArrived& arrived);
  void take_sent(std::uint64_t test, const wire::ProbeSent& sent);
  void take_bytes(std::uint64_t test, std::uint64_t payload_bytes);
  void order(const wire::ProbeOrder& order);
  Way& begin_way(std::string_view what);
  [[noreturn]] void lies(const std::string& how) const;
  Error not_there() const;
  std::string aimed_role() const;

  LinkTestOptions options_;
  const Clock& clock_;
  net::Node node_;
  std::map<std::string, net::WorkerId> met_;  // of `others`, by role
  std::optional<net::WorkerId> peer_;         // once it is known
  bool up_ = false;
  bool reserved_ = false;     // the place
  std::string last_failure_;  // to come to it
  std::uint64_t tests_ = 0;
  std::uint64_t echoes_asked_ = 0;
  wire::ProbeLimits granted_{};
  std::optional<wire::ProbeReport> answer_;  // to what was reserved
  EchoTrain* echoes_ = nullptr;              // that are under way
  std::optional<Way> way_;
  Duration round_trip_{};
};

}  // namespace ptrain::probe
