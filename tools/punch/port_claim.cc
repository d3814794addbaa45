#include "tools/punch/port_claim.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <system_error>

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libcommon/base/error.h"
#include "libcommon/base/printable.h"
#include "libcommon/os/file_lock.h"

namespace ptrain::punch {
namespace {

namespace fs = std::filesystem;

constexpr const char* kHint = "XDG_STATE_HOME names another folder for what programs keep";

bool was_removed(const os::FileDescriptor& file) {
  struct stat status {};
  return ::fstat(file.get(), &status) == 0 && status.st_nlink == 0;
}

std::string holder_of(const os::FileDescriptor& file) {
  const std::string text = os::holder_text(file);
  return printable(text.substr(0, text.find('\n')));
}

}  // namespace

fs::path claims_folder() {
  const std::string host = os::host_name();
  if (const char* state = std::getenv("XDG_STATE_HOME"); state != nullptr && *state != '\0') {
    return fs::path(state) / "ptrain" / "punch" / host;
  }
  if (const char* home = std::getenv("HOME"); home != nullptr && *home != '\0') {
    return fs::path(home) / ".local" / "state" / "ptrain" / "punch" / host;
  }
  throw Error(ErrorKind::usage,
              "no place for what is mapped: neither XDG_STATE_HOME nor HOME is set",
              "set one of them to a folder");
}

std::string claim_name(const Port& port) {
  return fmt::format("{}-{}", name_of(port.transport), port.number);
}

std::optional<Port> parse_claim_name(std::string_view name) {
  Port port;
  if (name.starts_with("tcp-")) {
    port.transport = Transport::tcp;
  } else if (name.starts_with("udp-")) {
    port.transport = Transport::udp;
  } else {
    return std::nullopt;
  }
  name.remove_prefix(4);
  const auto [stopped, error] =
      std::from_chars(name.data(), name.data() + name.size(), port.number);
  if (error != std::errc() || stopped != name.data() + name.size() || port.number == 0) {
    return std::nullopt;
  }
  return port;
}

PortClaim::PortClaim(const Port& port) : path_(claims_folder() / claim_name(port)) {
  std::error_code error;
  fs::create_directories(path_.parent_path(), error);
  if (error) throw io_error("make " + path_.parent_path().string(), error.value(), kHint);
  while (true) {
    file_ = os::open_lock_file(path_, kHint);
    if (os::try_lock(file_) == os::LockOutcome::held_elsewhere) {
      throw Error(
          ErrorKind::try_again,
          fmt::format("{} is mapped by process {} already", to_string(port), holder_of(file_)),
          "end that one, or map its port there");
    }
    // Who had it may have ended in between, and taken the file away.
    if (!was_removed(file_)) break;
  }
  os::write_holder_text(file_, path_, fmt::format("{}\n", ::getpid()), kHint);
}

PortClaim::~PortClaim() {
  if (file_.valid()) ::unlink(path_.c_str());
}

std::vector<ClaimedPort> claimed_ports() {
  std::vector<ClaimedPort> claims;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(claims_folder(), error)) {
    const auto port = parse_claim_name(entry.path().filename().string());
    if (!port) continue;
    const os::FileDescriptor file = os::open_lock_file(entry.path(), kHint);
    claims.push_back(
        {.port = *port, .held = os::is_locked_elsewhere(file), .holder = holder_of(file)});
  }
  std::ranges::sort(claims, {}, &ClaimedPort::port);
  return claims;
}

void forget_claim(const Port& port) { ::unlink((claims_folder() / claim_name(port)).c_str()); }

}  // namespace ptrain::punch
