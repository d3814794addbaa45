#include "tools/relay/local_endpoint.h"

#include <span>
#include <string>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/os/atomic_file.h"
#include "libcommon/os/read_file.h"

namespace ptrain::relay {
namespace {

constexpr const char* kName = "endpoint";

}  // namespace

void save_local_endpoint(const net::Endpoint& listening, const std::filesystem::path& state,
                         os::Storage& storage) {
  net::Endpoint local = listening;
  if (local.host == "0.0.0.0" || local.host == "*") local.host = "127.0.0.1";
  if (local.host == "[::]") local.host = "[::1]";
  const std::string line = to_string(local) + "\n";
  os::write_file_durably(storage, state / kName, "relay", std::as_bytes(std::span(line)));
}

net::Endpoint load_local_endpoint(const std::filesystem::path& state, os::Storage& storage) {
  const std::filesystem::path path = state / kName;
  if (!storage.status(path)) {
    throw Error(ErrorKind::usage, fmt::format("no relay has used the folder {}", state.string()),
                "--state names the folder that ptrain-relay serve was given");
  }
  const std::string line = os::read_file(storage, path, net::kMaxEndpointChars + 1);
  try {
    return net::parse_endpoint(line.substr(0, line.find('\n')));
  } catch (const Error& error) {
    throw Error(ErrorKind::corrupt, fmt::format("{}: {}", path.string(), error.what()),
                "remove it: ptrain-relay serve writes it anew");
  }
}

}  // namespace ptrain::relay
