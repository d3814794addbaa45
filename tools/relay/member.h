// One registration of one run, wherever it is. Value.

#pragma once

#include <compare>

#include "libcommon/base/signature.h"
#include "libcommon/net/relay_protocol.h"

namespace ptrain::relay {

struct Member {
  VerifyKey run_key{};
  net::Place place;
  auto operator<=>(const Member&) const = default;
};

}  // namespace ptrain::relay
