// What an operator asks a running relay, with the relay's own key: the survey, whole.
//
// One thread.

#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "libcommon/net/keys.h"
#include "libcommon/net/relay_protocol.h"
#include "tools/relay/inquiry.h"

namespace ptrain::relay {

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

  Inquiry inquiry_;
};

}  // namespace ptrain::relay
