#include "libcommon/net/endpoint_rules.h"

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/wire/frame.h"

namespace ptrain::net {
namespace {

bool is_direct(const Endpoint& endpoint) {
  return endpoint.kind == EndpointKind::direct || endpoint.kind == EndpointKind::ipc;
}

}  // namespace

void check_dialled(const Endpoint& endpoint, bool have_key, const std::string& who) {
  if (!is_direct(endpoint)) {
    throw Error(ErrorKind::usage, who + ": only tcp:// and ipc:// endpoints can be dialled");
  }
  if (!endpoint.key && !endpoint.is_local()) {
    throw Error(ErrorKind::usage, who + ": it is not on this machine and has no key", kKeyHint);
  }
  if (endpoint.key && !have_key) {
    throw Error(ErrorKind::usage, who + ": it asks for CURVE and we have no key of our own",
                "name a key file");
  }
}

void check_listened(const Endpoint& endpoint, bool have_key) {
  if (!is_direct(endpoint)) {
    throw Error(ErrorKind::usage,
                fmt::format("listen on {}: only tcp:// and ipc:// endpoints can be listened on",
                            to_string(endpoint)));
  }
  if (!have_key && !endpoint.is_local()) {
    throw Error(ErrorKind::usage,
                fmt::format("listen on {}: it can be reached from other machines and has no key",
                            to_string(endpoint)),
                "name a key file, or listen on tcp://127.0.0.1:PORT");
  }
}

void check_connections(std::uint8_t connections) {
  if (connections >= 1 && connections <= wire::kMaxConnections) return;
  throw Error(ErrorKind::usage, fmt::format("{} connections for bulk, 1 to {} allowed", connections,
                                            wire::kMaxConnections));
}

}  // namespace ptrain::net
