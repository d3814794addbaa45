// Some questions to the mapping services of all gateways, with all their answers: for commands that
// ask and end. One thread; run() once, and everything else within what it calls.

#pragma once

#include <functional>
#include <vector>

#include "libcommon/base/boot_clock.h"
#include "libcommon/net/keys.h"
#include "libcommon/os/epoll_loop.h"
#include "libcommon/portmap/gateway_services.h"

namespace ptrain::punch {

class GatewaySurvey {
 public:
  // Throws Error(unavailable) where there is no gateway.
  explicit GatewaySurvey(const net::KeyPair& key);

  const GatewayServices& services() const { return services_; }

  using Then = std::function<void()>;
  // Begins with that, and goes on until nothing is left to wait for.
  void run(const Then& first);

  // All at once; `then` once each has its outcome, in the order in which they came.
  void ask_all(const std::vector<Ask>& asks, std::function<void(const std::vector<Outcome>&)> then);
  void list(SourceNumber source, IgdWorker::Listed then);

  // A Look at each source.
  std::vector<Ask> looks() const;

 private:
  void came(const Outcome& outcome);
  void settle();

  BootClock clock_;
  os::EpollLoop loop_;
  GatewayServices services_;
  std::size_t awaited_ = 0;  // of ask_all
  std::size_t listing_ = 0;
  std::vector<Outcome> outcomes_;
  std::function<void(const std::vector<Outcome>&)> then_;
};

}  // namespace ptrain::punch
