// What ptrain-punch map does: maps ports, says where they are reached, runs a command meanwhile,
// and removes the mappings at the end. One thread; run() once.

#pragma once

#include <chrono>
#include <csignal>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "libcommon/base/boot_clock.h"
#include "libcommon/base/error.h"
#include "libcommon/base/log.h"
#include "libcommon/cli/event_output.h"
#include "libcommon/os/epoll_loop.h"
#include "libcommon/os/stop_rules.h"
#include "tools/punch/child_command.h"
#include "tools/punch/family_mappings.h"
#include "tools/punch/outside_file.h"
#include "tools/punch/port_claim.h"
#include "tools/punch/signal_watch.h"

namespace ptrain::punch {

// How long the other family of addresses is waited for, once one holds.
inline constexpr Duration kOtherFamily = std::chrono::seconds(2);

struct MapOptions {
  std::vector<Port> ports;
  std::chrono::seconds lease{600};
  bool json = false;
  std::vector<std::string> command;  // none: until a signal comes
};

class MapSession {
 public:
  // Log and key outlive the object. Throws what the claims of the ports and the outside file do.
  MapSession(MapOptions options, const net::KeyPair& key, Log& log);

  // The exit code: the command's, or 128 and the signal. Throws Error(unavailable) where nobody
  // maps them, Error(usage) where there is no such command.
  int run();

 private:
  enum class Phase { mapping, holding, leaving };

  void changed();
  void decide();
  void hold();
  void publish();
  void write_outside(const std::vector<OutsideLine>& lines);
  // As standard output has them, and said to people as well.
  std::vector<std::string> mapped_lines(const FamilyMappings& family);
  void say_changes(const std::vector<OutsideLine>& before);
  void leave();
  void on_signal(const signalfd_siginfo& info);
  std::vector<OutsideLine> lines() const;
  Error nobody_maps() const;

  MapOptions options_;
  Log& log_;
  BootClock clock_;
  os::EpollLoop loop_;
  os::StopRules rules_;
  SignalWatch signals_;
  os::PosixStorage storage_;
  cli::EventOutput output_;
  std::vector<PortClaim> claims_;
  OutsideFile file_;
  FamilyMappings v4_;
  FamilyMappings v6_;
  std::unique_ptr<os::Loop::Timer> other_family_;
  bool waits_ = false;  // for the other family
  bool waited_ = false;
  Phase phase_ = Phase::mapping;
  std::vector<OutsideLine> published_;
  std::unique_ptr<ChildCommand> child_;
  int code_ = 0;
  std::exception_ptr trouble_;
};

}  // namespace ptrain::punch
