// Where ports of this host are reached from outside, as the file says that ptrain-punch map keeps
// (PTRAIN_OUTSIDE_FILE; ptrain-punch(1), OUTSIDE FILE): for those who tell others.
//
// The file is replaced at each change, so its name is looked at again and again. A file that is
// not there, or says something else, names no ports, and flaw() says why. One thread.

#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

#include "libcommon/base/clock.h"

namespace ptrain::net {

inline constexpr const char* kOutsidePortsVariable = "PTRAIN_OUTSIDE_FILE";
// What the environment names; empty where it names nothing.
std::filesystem::path outside_ports_file();

inline constexpr std::size_t kMostOutsidePorts = 64;
inline constexpr std::size_t kMostOutsideBytes = 16u << 10;
inline constexpr Duration kOutsideLook = std::chrono::seconds(1);

struct OutsidePort {
  std::string protocol;       // "tcp" or "udp"
  std::uint16_t port = 0;     // of this host
  std::string host;           // by which others reach it; IPv6 in brackets
  std::uint16_t outside = 0;  // with that port
  bool operator==(const OutsidePort&) const = default;
};

// "tcp 7100 tcp://198.51.100.7:7100", a line each. Throws Error(corrupt) that names the line.
std::vector<OutsidePort> parse_outside_ports(std::string_view text);

// The first for that port of this host; nullptr where there is none.
const OutsidePort* find_outside(const std::vector<OutsidePort>& ports, std::string_view protocol,
                                std::uint16_t port);

class OutsidePorts {
 public:
  // An empty path: there is no file, and never will be.
  explicit OutsidePorts(std::filesystem::path path) : path_(std::move(path)) {}

  bool named() const { return !path_.empty(); }
  // Looks at the file, once in kOutsideLook at most, and the first time; true when it says
  // something else than before.
  bool look(TimePoint now);
  TimePoint next_look() const { return named() ? next_look_ : TimePoint::max(); }

  const std::vector<OutsidePort>& ports() const { return ports_; }
  const std::string& flaw() const { return flaw_; }  // empty: none

 private:
  // What tells one file under that name from another.
  struct Stamp {
    dev_t device = 0;
    ino_t number = 0;
    std::int64_t changed_ns = -1;
    bool operator==(const Stamp&) const = default;
  };
  std::optional<Stamp> stamp() const;
  void read();

  std::filesystem::path path_;
  TimePoint next_look_{};
  std::optional<Stamp> seen_;
  bool looked_ = false;
  std::vector<OutsidePort> ports_;
  std::string flaw_;
};

}  // namespace ptrain::net
