// What an operator asks a running relay, with the relay's own key: the survey, whole.
//
// One request at a time, each with a deadline. One thread.

#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <zmq.hpp>

#include "libcommon/base/clock.h"
#include "libcommon/net/keys.h"
#include "libcommon/net/relay_protocol.h"

namespace ptrain::relay {

inline constexpr Duration kSurveyTimeout = std::chrono::seconds(10);
// Pages of one survey at most: what is registered may change while it is read.
inline constexpr int kMaxSurveyPages = 100000;

class OperatorClient {
 public:
  // `key` is the relay's. Connects in the background.
  OperatorClient(const net::Endpoint& relay, const net::KeyPair& key);

  // JSON objects. Throws Error(unavailable) when the relay does not answer in time.
  std::vector<std::string> survey(net::request::Subject subject);

 private:
  net::answer::Surveyed page(net::request::Subject subject, std::uint64_t after);

  std::string relay_;  // for messages
  zmq::context_t context_;
  zmq::socket_t socket_;
  std::uint64_t last_id_ = 0;
};

}  // namespace ptrain::relay
