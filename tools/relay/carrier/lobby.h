// Where connections to the data port begin: accepted, asked for their token, and passed on
// with the seat that it stands for, or refused.
//
// All that strangers can do happens here, so everything is bounded: the handshakes that go
// on, how many of them come from one source, how long one takes, and how many wrong tokens a
// source may try. One thread.

#pragma once

#include <functional>
#include <list>
#include <map>

#include "libcommon/base/clock.h"
#include "libcommon/os/file_descriptor.h"
#include "tools/relay/carrier/carrier_counters.h"
#include "tools/relay/carrier/listening_socket.h"
#include "tools/relay/carrier/poller.h"
#include "tools/relay/carrier/socks_handshake.h"
#include "tools/relay/carrier/source_budgets.h"
#include "tools/relay/carrier/token_desk.h"
#include "tools/relay/control/fair_share.h"

namespace ptrain::relay {

struct LobbyLimits {
  Duration handshake = std::chrono::seconds(5);
  std::size_t handshakes = 1024;  // going on; of more, the oldest of who has most ends
  std::size_t handshakes_per_source = 64;
  SourceBudgetLimits failures{};  // wrong requests, wrong tokens, handshakes that time out
};

// Between two looks at the streams.
inline constexpr int kAcceptsPerTurn = 64;
// Without descriptors nobody is accepted for so long; what is there goes on.
inline constexpr Duration kAcceptPause = std::chrono::milliseconds(100);

class Lobby final : private Watched {
 public:
  using Admit =
      std::function<void(os::FileDescriptor socket, const Seat& seat, const SourceAddress& source)>;

  // The references outlive the object.
  Lobby(LobbyLimits limits, os::FileDescriptor listener, Poller& poller, TokenDesk& desk,
        CarrierCounters& counters, const Clock& clock, Admit admit);
  ~Lobby() override;

  std::uint16_t port() const { return port_of(listener_); }

  // Ends what took too long.
  void tick(TimePoint now);
  // Accepts nobody any more, and ends the handshakes.
  void close();

 private:
  class Guest;
  using Guests = std::list<Guest>;  // oldest first

  void on_events(std::uint32_t events) override;
  bool accept_one(TimePoint now);
  void pause_accepting(TimePoint now);
  void greet(os::FileDescriptor socket, const SourceAddress& source, TimePoint now);
  void decide(Guests::iterator guest);
  void remove(Guests::iterator guest);

  LobbyLimits limits_;
  os::FileDescriptor listener_;
  os::FileDescriptor spare_;  // given up for a moment to turn connections away without a file
  Poller& poller_;
  TokenDesk& desk_;
  CarrierCounters& counters_;
  const Clock& clock_;
  Admit admit_;
  SourceBudgets failures_;
  Guests guests_;
  std::map<SourceAddress, std::list<Guests::iterator>> guests_from_;  // oldest first
  FairShare<SourceAddress> shares_;
  TimePoint accept_again_{};
  bool accepting_ = true;
};

}  // namespace ptrain::relay
