// A relay on a thread of its own, at a free port of this machine.

#pragma once

#include <atomic>
#include <deque>
#include <filesystem>
#include <mutex>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <zmq.hpp>

#include "libcommon/base/clock.h"
#include "libcommon/base/log.h"
#include "libcommon/base/random_source.h"
#include "libcommon/net/relay_codec.h"
#include "tests/unit/relay/relay_client.h"
#include "tests/unit/relay/run_of_members.h"
#include "tools/relay/relay.h"

namespace ptrain::relay {

struct RunningOptions {
  RegistryLimits limits{};
  AccessRules rules{};
  ConnectionLimits connections{};
  std::optional<std::filesystem::path> state{};
  net::KeyPair key = net::KeyPair::generate();
  std::string listen = "tcp://127.0.0.1:0";
};

class RunningRelay {
 public:
  explicit RunningRelay(RunningOptions options = {})
      : key_(options.key),
        rules_(std::move(options.rules)),
        relay_({.listen = net::parse_endpoint(options.listen),
                .key = key_,
                .limits = options.limits,
                .connections = options.connections,
                .state = options.state,
                .read_access =
                    [this] {
                      const std::scoped_lock lock(mutex_);
                      return rules_;
                    }},
               desk, storage_, log_, clock_),
        endpoint_(relay_.listening()),
        thread_([this] {
          relay_.run([this] { return stopping_.load(); },
                     [this] { return reload_.exchange(false); });
        }) {}
  ~RunningRelay() { stop(); }

  void stop() {
    stopping_ = true;
    if (thread_.joinable()) thread_.join();
  }
  void set_rules(AccessRules rules) {
    const std::scoped_lock lock(mutex_);
    rules_ = std::move(rules);
    reload_ = true;
  }
  const net::Endpoint& endpoint() const { return endpoint_; }
  // As tickets and neighbours have it.
  net::TicketRelay word(std::uint16_t data_port = 1) const {
    return {.control = endpoint_, .data_port = data_port};
  }
  const net::KeyPair& key() const { return key_; }

  // Whether the data port was told to cut that member's streams.
  bool was_revoked(const VerifyKey& run_key, const net::Place& who) {
    for (const Member& member : desk.take_revoked()) revoked_.insert(member);
    return revoked_.contains({.run_key = run_key, .place = who});
  }

 private:
  SystemRandom random_;

 public:
  TokenDesk desk{{}, random_};

 private:
  std::set<Member> revoked_;
  net::KeyPair key_;
  std::mutex mutex_;
  AccessRules rules_;
  os::PosixStorage storage_;
  NullLog log_;
  SteadyClock clock_;
  Relay relay_;
  net::Endpoint endpoint_;
  std::atomic<bool> stopping_{false};
  std::atomic<bool> reload_{false};
  std::thread thread_;
};

}  // namespace ptrain::relay
