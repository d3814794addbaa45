// PCP and NAT-PMP at one gateway: requests that are repeated until they are answered, and answers
// that are told from forgeries. Pure: packets and times are the caller's. One thread.
//
// What is not an answer to a request that is open is ignored: another nonce, port or opcode, an
// answer that comes twice. Where it came from is the socket's to check. A request that nobody
// answers kAnswerWithin is Silent. At most one request is open for each service and port: a new one
// takes the place of the old one.

#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "libcommon/base/clock.h"
#include "libcommon/portmap/ask.h"
#include "libcommon/portmap/nat_pmp_message.h"
#include "libcommon/portmap/pcp_message.h"

namespace ptrain::punch {

inline constexpr Duration kFirstRepeat = std::chrono::milliseconds(250);  // doubled each time
inline constexpr int kMostSendings = 5;
inline constexpr Duration kAnswerWithin = kFirstRepeat * ((1 << kMostSendings) - 1);

class PortControl {
 public:
  using Packet = std::vector<std::uint8_t>;
  struct Reply {
    Service service;
    std::optional<Port> port;  // none: of a Look
    bool removal = false;
    decltype(Outcome::what) what;
    bool operator==(const Reply&) const = default;
  };
  // Always the same for a port, or a mapping could neither be renewed nor removed.
  using NonceOf = std::function<PcpNonce(const Port&)>;

  // `client` is our address as the gateway sees it.
  PortControl(const net::AddressBytes& client, NonceOf nonce_of)
      : client_(client), nonce_of_(std::move(nonce_of)) {}

  void look(Service service, TimePoint now);
  void map(Service service, const Map& wanted, TimePoint now);
  void unmap(Service service, const Unmap& wanted, TimePoint now);

  // What is to be sent now, again or for the first time.
  std::vector<Packet> due(TimePoint now);
  // When to call due() and silences() next.
  TimePoint next() const;
  std::vector<Reply> silences(TimePoint now);
  std::vector<Reply> receive(std::span<const std::uint8_t> bytes);
  // The host says that nothing listens there: nobody is waited for.
  std::vector<Reply> unreachable();

 private:
  struct Open {
    Service service;
    std::optional<Port> port;
    bool removes = false;
    PcpNonce nonce{};
    Packet packet;
    int sendings = 0;
    TimePoint next;
  };
  void open(Open request, TimePoint now);
  using What = std::optional<decltype(Outcome::what)>;  // none: it is not an answer to that
  using AnswerTo = std::function<What(const Open&)>;
  std::vector<Reply> close(Service service, const std::optional<Port>& port,
                           const AnswerTo& answer);
  std::vector<Reply> close_all(const std::function<std::optional<Reply>(const Open&)>& answer);
  std::vector<Reply> receive_pcp(std::span<const std::uint8_t> bytes);
  std::vector<Reply> receive_nat_pmp(std::span<const std::uint8_t> bytes);
  std::vector<Reply> take_pcp_map(const PcpAnswer& answer);
  std::vector<Reply> take_mapped(const NatPmpAnswer& answer);
  std::vector<Reply> take_refused(const NatPmpAnswer& answer);

  net::AddressBytes client_;
  NonceOf nonce_of_;
  std::vector<Open> open_;
  // NAT-PMP says the outside address in an answer of its own.
  std::optional<net::AddressBytes> nat_pmp_outside_;
};

}  // namespace ptrain::punch
