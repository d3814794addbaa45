// Tells peers their outside address, over UDP and TCP on two ports: two, because a NAT that
// shows another port to each destination can only be known by comparing, and one that lets in
// what comes from a port, or a host, that was not asked, by asking for that.
//
// Works on a thread of its own from construction to destruction, apart from the data port's,
// so that whoever floods it delays nobody's bytes. What it does not answer, it drops.

#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "libcommon/base/clock.h"
#include "libcommon/os/file_descriptor.h"
#include "tools/relay/carrier/doorbell.h"
#include "tools/relay/carrier/echo_format.h"
#include "tools/relay/carrier/poller.h"
#include "tools/relay/carrier/source_budgets.h"
#include "tools/relay/carrier/thread_trouble.h"

namespace ptrain::relay {

struct EchoOptions {
  std::string host = "0.0.0.0";
  std::array<std::uint16_t, 2> ports{};  // 0: any; each for UDP and TCP
  SourceBudgetLimits requests{.burst = 20, .per_s = 5};
  std::size_t connections = 64;  // going on; of more, the oldest ends
  Duration connection_life = std::chrono::seconds(5);
};

struct EchoTotals {
  std::uint64_t answered = 0;
  std::uint64_t malformed = 0;
  std::uint64_t over_limits = 0;
};

class Echo {
 public:
  // `clock` outlives the object. Throws Error(io).
  Echo(EchoOptions options, const Clock& clock);
  ~Echo();
  Echo(const Echo&) = delete;
  Echo& operator=(const Echo&) = delete;

  const std::array<std::uint16_t, 2>& ports() const { return ports_; }
  // What ended its thread before its time.
  std::optional<std::string> trouble() const { return trouble_.read(); }
  EchoTotals totals() const { return {answered_, malformed_, over_limits_}; }

 private:
  class Datagrams;
  class Listener;
  class Connection;
  using Connections = std::list<Connection>;  // oldest first

  bool may_ask(const sockaddr_storage& from);
  void open(std::uint16_t port, std::size_t index);
  void run();
  void serve();
  void add(os::FileDescriptor socket, const sockaddr_storage& from);
  void remove(Connections::iterator connection);

  const EchoOptions options_;
  const Clock& clock_;
  ThreadTrouble trouble_;
  std::array<std::uint16_t, 2> ports_{};
  std::atomic<std::uint64_t> answered_ = 0;
  std::atomic<std::uint64_t> malformed_ = 0;
  std::atomic<std::uint64_t> over_limits_ = 0;
  SourceBudgets budgets_;
  Poller poller_;
  std::vector<std::unique_ptr<Watched>> sockets_;
  std::array<int, 2> datagrams_{};  // of these, those for UDP, by their ports
  Connections connections_;
  Doorbell stop_bell_;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

}  // namespace ptrain::relay
