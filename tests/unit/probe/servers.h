// Servers of probes for tests: real ones over real sockets, and ones that lie.

#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "libcommon/probe/link_test.h"
#include "libcommon/probe/probe_server.h"
#include "libcommon/probe/probing.h"
#include "tests/unit/net/messages.h"
#include "tests/unit/net/serving.h"

namespace ptrain::probe {

inline wire::ProbeLimits small_limits() {
  return {.bytes = ByteCount(4'000'000), .time = std::chrono::seconds(5)};
}

// A ProbeServer and the thread that runs it.
class RunningServer {
 public:
  explicit RunningServer(wire::ProbeLimits limits)
      : server_(options(limits), log_, clock_),
        thread_([this] { server_.run([this] { return stop_.load(); }); }) {}
  ~RunningServer() {
    stop_ = true;
    thread_.join();
  }
  net::Endpoint endpoint() const { return server_.listening(); }
  // Of tests that are over.
  std::vector<TestReport> ended() const {
    const std::lock_guard lock(mutex_);
    return ended_;
  }

 private:
  ProbeServerOptions options(wire::ProbeLimits limits) {
    ProbeServerOptions options;
    options.listen = net::parse_endpoint("tcp://127.0.0.1:0");
    options.limits = limits;
    options.observer = [this](const TestReport& report) {
      if (report.kind != TestReport::Kind::ended) return;
      const std::lock_guard lock(mutex_);
      ended_.push_back(report);
    };
    return options;
  }
  mutable std::mutex mutex_;
  std::vector<TestReport> ended_;
  net::RecordingLog log_;
  SteadyClock clock_;
  ProbeServer server_;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

// Answers orders as a test wants: with any messages. Grants and echoes are answered honestly.
class LyingServer {
 public:
  using Script = std::function<std::vector<wire::Message>(std::uint64_t, const wire::ProbeOrder&)>;
  explicit LyingServer(Script script)
      : script_(std::move(script)),
        server_(net::serving_options(introduction()), {}, log_, clock_),
        thread_([this] { run(); }) {}
  ~LyingServer() {
    stop_ = true;
    thread_.join();
  }
  net::Endpoint endpoint() const { return server_.listening(); }

 private:
  void run() {
    while (!stop_) {
      const auto event = server_.next(std::chrono::milliseconds(20));
      const auto* told = event ? std::get_if<net::Delivery>(&*event) : nullptr;
      if (told == nullptr || told->message.name.kind != wire::MessageKind::probe_order) continue;
      const auto order = std::get<wire::ProbeOrder>(read_probe_order(told->message));
      const std::uint64_t test = told->message.name.step.value();
      auto answers = script_(test, order);
      if (answers.empty()) answers = honest(test, order);
      for (wire::Message& answer : answers) server_.send(told->from, std::move(answer));
    }
  }
  static std::vector<wire::Message> honest(std::uint64_t test, const wire::ProbeOrder& order) {
    if (const auto* wanted = std::get_if<wire::ProbeReserve>(&order)) {
      return {probe_report_message(test, wire::ProbeGranted{wanted->limits})};
    }
    if (const auto* echo = std::get_if<wire::ProbeEcho>(&order)) {
      return {probe_report_message(test, *echo)};
    }
    return {};
  }

  Script script_;
  net::RecordingLog log_;
  SteadyClock clock_;
  net::ServingNode server_;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

}  // namespace ptrain::probe
