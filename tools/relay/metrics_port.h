// Answers HTTP requests on 127.0.0.1 with one page of text, whatever they ask for.
//
// A thread of its own, from construction to destruction, that serves one connection after
// another, each within kMetricsDeadline; `page` is called on it. Whoever can connect to this
// machine's loopback can read the page, and do nothing else.

#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <thread>

#include "libcommon/base/clock.h"
#include "libcommon/os/file_descriptor.h"
#include "tools/relay/carrier/doorbell.h"

namespace ptrain::relay {

inline constexpr Duration kMetricsDeadline = std::chrono::seconds(1);
// Of a request; what it says beyond is not read.
inline constexpr std::size_t kMaxMetricsRequestBytes = 4096;

class MetricsPort {
 public:
  // Port 0: any. Throws Error(io).
  MetricsPort(std::uint16_t port, std::function<std::string()> page);
  ~MetricsPort();
  MetricsPort(const MetricsPort&) = delete;
  MetricsPort& operator=(const MetricsPort&) = delete;

  std::uint16_t port() const { return port_; }

 private:
  void run();
  void answer(const os::FileDescriptor& connection) const;

  std::function<std::string()> page_;
  os::FileDescriptor socket_;
  std::uint16_t port_;
  Doorbell stop_bell_;
  std::thread thread_;
};

}  // namespace ptrain::relay
