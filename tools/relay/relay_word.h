// A relay in one word, as serve prints it and ticket new takes it:
//
//   tcp://HOST:PORT#KEY,data=PORT
//
// the control port with its key, and the data port of the same host. Pure.

#pragma once

#include <string>
#include <string_view>

#include "libcommon/net/ticket.h"

namespace ptrain::relay {

// Throws Error(usage) that names the word and what is wrong with it.
net::TicketRelay parse_relay_word(std::string_view word);
std::string to_word(const net::TicketRelay& relay);

}  // namespace ptrain::relay
