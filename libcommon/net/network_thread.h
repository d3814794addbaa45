// The thread that runs a Network, from construction to stop().
//
// Born with all signals blocked: they go to the threads of the program, and no system call
// of the network's is interrupted. What ends the thread by itself ends every wait on the
// exchange with the same error.

#pragma once

#include <string>
#include <thread>

#include "libcommon/base/clock.h"
#include "libcommon/net/exchange.h"
#include "libcommon/net/network.h"

namespace ptrain::net {

// For peers to hear that we failed; they notice by themselves if they do not.
inline constexpr Duration kFailureLinger = std::chrono::milliseconds(500);

class NetworkThread {
 public:
  NetworkThread(Network& network, Exchange& exchange);
  // Unless end() was called: tells the peers `abandoned` and ends.
  ~NetworkThread();
  NetworkThread(const NetworkThread&) = delete;
  NetworkThread& operator=(const NetworkThread&) = delete;

  void when_abandoned_say(std::string reason) { abandoned_ = std::move(reason); }
  // Says goodbye (with a reason if we failed), waits for it to be heard, ends the thread.
  // True when nothing was left unacknowledged. Once; later calls do nothing.
  bool end(std::string reason, Duration linger);

 private:
  void run();

  Network& network_;
  Exchange& exchange_;
  std::string abandoned_;
  std::thread thread_;
};

}  // namespace ptrain::net
