// What an endpoint must be before a socket is made for it: of a kind that we can use, and
// with CURVE wherever bytes leave this machine; and how many connections are made to it.

#pragma once

#include <cstdint>
#include <string>

#include "libcommon/net/endpoint.h"

namespace ptrain::net {

// Of an endpoint that lacks its key.
inline constexpr const char* kKeyHint =
    "add the peer's public key to its endpoint, as in tcp://HOST:PORT#KEY";

// Both throw Error(usage). `have_key`: we have a key pair of our own; `who` begins the text.
void check_dialled(const Endpoint& endpoint, bool have_key, const std::string& who);
void check_listened(const Endpoint& endpoint, bool have_key);
// For bulk, to one that is dialled. Throws Error(usage).
void check_connections(std::uint8_t connections);

}  // namespace ptrain::net
