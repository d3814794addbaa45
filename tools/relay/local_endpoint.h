// Where the relay of a state folder can be reached on its own host: a line that serve leaves in
// DIR/endpoint for peers, runs and top.

#pragma once

#include <filesystem>

#include "libcommon/net/endpoint.h"
#include "libcommon/os/storage.h"

namespace ptrain::relay {

void save_local_endpoint(const net::Endpoint& listening, const std::filesystem::path& state,
                         os::Storage& storage);
// Throws Error(usage) when no relay has used the folder, Error(corrupt), Error(io).
net::Endpoint load_local_endpoint(const std::filesystem::path& state, os::Storage& storage);

}  // namespace ptrain::relay
