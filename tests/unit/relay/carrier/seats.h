// Members of a run, and their seats, for the tests of the data port.

#pragma once

#include "tools/relay/carrier/token_desk.h"

namespace ptrain::relay {

inline net::Place place_of(std::uint8_t number) {
  net::Place place;
  place.peer_key.fill(number);
  place.role = "worker";
  return place;
}

inline VerifyKey run_of(std::uint8_t number) {
  VerifyKey key;
  key.fill(number);
  return key;
}

// The seat of `owner` on its connection with `other`, both numbers of places.
inline Seat seat_of(std::uint8_t owner, std::uint8_t other, std::uint8_t path = 0,
                    std::uint8_t run = 1) {
  const bool is_low = owner < other;
  return {.pairing = {.run_key = run_of(run),
                      .low = place_of(is_low ? owner : other),
                      .high = place_of(is_low ? other : owner),
                      .path = path},
          .side = is_low ? Side::low : Side::high};
}

}  // namespace ptrain::relay
