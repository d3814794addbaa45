// The relay's data port: carries bytes between two peers that both connect to it.
//
// A client connects by SOCKS5 to the host name that is its token (token_desk.h); when both
// sides of a pairing are there, both are told so, and from then on the relay passes on what
// they send, unread and unchanged. No other destination exists. It works on a thread of its
// own from construction to stop(); the object is one thread's, but for the figures, which
// any thread may read. Its owner asks now and then whether that thread has died.

#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "libcommon/base/clock.h"
#include "libcommon/base/log.h"
#include "tools/relay/carrier/carrier_counters.h"
#include "tools/relay/carrier/doorbell.h"
#include "tools/relay/carrier/junction.h"
#include "tools/relay/carrier/lobby.h"
#include "tools/relay/carrier/peer_ledger.h"
#include "tools/relay/carrier/poller.h"
#include "tools/relay/carrier/thread_trouble.h"
#include "tools/relay/carrier/token_desk.h"

namespace ptrain::relay {

struct CarrierOptions {
  std::string host = "0.0.0.0";
  std::uint16_t port = 0;  // 0: any
  LobbyLimits lobby{};
  JunctionLimits streams{};
  PeerLedgerLimits peers{};
};

// How often limits in time are looked at.
inline constexpr Duration kCarrierTick = std::chrono::milliseconds(100);

class Carrier {
 public:
  // Listens from then on. Raises the limit of open files of the process if the limits need it.
  // `desk` and `clock` outlive the object. Throws Error(io).
  Carrier(CarrierOptions options, TokenDesk& desk, Log& log, const Clock& clock);
  ~Carrier();  // stop(0)
  Carrier(const Carrier&) = delete;
  Carrier& operator=(const Carrier&) = delete;

  std::uint16_t port() const { return port_; }

  // Accepts nobody any more, lets the streams end by themselves for so long, and cuts the
  // rest. True when there was no rest. Throws what ended the thread before its time.
  bool stop(Duration drain);

  // What ended the thread before its time.
  std::optional<std::string> trouble() const { return trouble_.read(); }

  CarrierTotals totals() const { return counters_.read(); }
  std::optional<PeerTraffic> traffic_of(const net::PublicKey& peer) const {
    return ledger_.of(peer);
  }
  std::vector<PeerTraffic> traffic() const { return ledger_.all(); }

 private:
  void run();
  void serve();
  Duration next_wait(TimePoint now) const;

  TokenDesk& desk_;
  const Clock& clock_;
  const CarrierOptions options_;  // as far as the process may have files
  CarrierCounters counters_{};
  PeerLedger ledger_;
  Poller poller_;
  Junction junction_;
  std::uint16_t port_ = 0;
  Lobby lobby_;
  Doorbell stop_bell_;
  std::atomic<Duration> drain_{Duration::max()};  // until stop() says
  bool drained_ = false;                          // the thread's, then stop()'s
  std::exception_ptr failure_;                    // the same
  ThreadTrouble trouble_;
  std::thread thread_;
};

}  // namespace ptrain::relay
