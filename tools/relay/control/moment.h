// A point in time that can be kept over a restart.
//
// The wall clock alone would not do: it may be set in between, forwards or backwards, and with
// it every lease would end or last. The clock that counts since the boot cannot be set; it is
// used where the machine has not been booted in between. Values.

#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "libcommon/base/clock.h"

namespace ptrain::relay {

struct Moment {
  std::chrono::milliseconds wall{};  // since 1970
  std::chrono::milliseconds boot{};  // since the boot, sleep included
  std::string boot_id;               // of that boot; empty: not known
  bool operator==(const Moment&) const = default;
};

// Never negative: a wall clock that went back says nothing.
Duration elapsed(const Moment& from, const Moment& to);

// By this machine's clocks.
Moment this_moment();

}  // namespace ptrain::relay
