// A relay in one word, as serve prints it and ticket new takes it:
//
//   tcp://HOST:PORT#KEY,data=PORT
//
// the control port with its key, and the data port of the same host. Pure.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "libcommon/net/endpoint.h"

namespace ptrain::net {

struct TicketRelay {
  Endpoint control;  // direct, with its key
  std::uint16_t data_port = 0;
  bool operator==(const TicketRelay&) const = default;
};

// Throws Error(usage) that names the word and what is wrong with it.
TicketRelay parse_relay_word(std::string_view word);
std::string to_word(const TicketRelay& relay);

}  // namespace ptrain::net
