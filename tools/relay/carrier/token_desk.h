// Who may be joined with whom at the data port: tokens, each good for one connection.
//
// The control port issues a token to one side of a pair of peers; the data port redeems it.
// A token is spent by its first use, whoever used it, and its owner is told a fresh one: so
// one that was read off the wire costs its owner one attempt to connect at most, and data
// never, because CURVE runs between the peers. Any thread.

#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libcommon/base/clock.h"
#include "libcommon/net/relay_protocol.h"

namespace ptrain::relay {

// One relayed connection between two members of a run. `low` is the smaller Place.
struct Pairing {
  net::VerifyKey run_key{};
  net::Place low;
  net::Place high;
  std::uint8_t path = 0;
  auto operator<=>(const Pairing&) const = default;
};

enum class Side : std::uint8_t { low, high };

// What a token stands for: one side of a pairing.
struct Seat {
  Pairing pairing;
  Side side = Side::low;
  auto operator<=>(const Seat&) const = default;
  const net::Place& owner() const { return side == Side::low ? pairing.low : pairing.high; }
  const net::Place& other() const { return side == Side::low ? pairing.high : pairing.low; }
};

class TokenDesk {
 public:
  virtual ~TokenDesk() = default;

  // ---- For the control port.
  // A fresh token for that seat, which replaces any earlier one; nullopt when a table is full.
  virtual std::optional<std::string> issue(const Seat& seat, TimePoint now) = 0;
  // The lease of that member is over: its tokens are void and its streams are cut.
  virtual void revoke(const net::VerifyKey& run_key, const net::Place& member) = 0;
  // Seats whose token was spent since the last call: their owners need a fresh one.
  virtual std::vector<Seat> take_spent() = 0;
  virtual int spent_fd() const = 0;  // readable while take_spent() has something

  // ---- For the data port.
  virtual std::optional<Seat> redeem(std::string_view token, TimePoint now) = 0;
  virtual std::vector<Seat> take_revoked() = 0;
  virtual int revoked_fd() const = 0;
};

}  // namespace ptrain::relay
