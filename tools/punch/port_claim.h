// Which ports of this host are mapped, or were by a program that was killed: a file for each,
// locked by who keeps the mapping, in $XDG_STATE_HOME/ptrain/punch/HOST or
// ~/.local/state/ptrain/punch/HOST.
//
// A mapping has one keeper: two would renew and remove it against each other. A claim that ends in
// order takes its file away; one that was killed leaves it, and unmap finds it.

#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

#include "libcommon/os/file_descriptor.h"
#include "libcommon/portmap/mapped_port.h"

namespace ptrain::punch {

// Throws Error(usage) where the environment names no place.
std::filesystem::path claims_folder();

class PortClaim {
 public:
  // Throws Error(try_again) that names the process which has it, Error(io).
  explicit PortClaim(const Port& port);
  ~PortClaim();
  PortClaim(PortClaim&&) noexcept = default;
  PortClaim& operator=(PortClaim&&) noexcept = default;

 private:
  std::filesystem::path path_;
  os::FileDescriptor file_;
};

struct ClaimedPort {
  Port port;
  bool held = false;   // by a process that runs
  std::string holder;  // its number, as it says
};
// All of this host, in order; none where there is no folder.
std::vector<ClaimedPort> claimed_ports();
// Of who was killed.
void forget_claim(const Port& port);

// "tcp-7100". Pure.
std::string claim_name(const Port& port);
std::optional<Port> parse_claim_name(std::string_view name);

}  // namespace ptrain::punch
