// The numeric address of a host that was given by name, looked up in a thread of its own.
//
// libzmq looks names up in the thread that serves all its connections, and while no name server can
// be reached, as in an outage, none of them moves. An address that is known is used on, and asked
// for again when it does not answer. Network thread only; the thread ends when the resolver does.

#pragma once

#include <memory>
#include <optional>
#include <string>

#include "libcommon/base/clock.h"

namespace ptrain::net {

inline constexpr Duration kLookupPause = std::chrono::seconds(1);       // between two of one name
inline constexpr Duration kLookupPoll = std::chrono::milliseconds(20);  // whether it has ended

class HostLookup {
 public:
  // A name or a numeric address (IPv6 in brackets), which is itself.
  explicit HostLookup(std::string host);

  // As far as it is known; where it is not, it is being looked up: to be asked again.
  std::optional<std::string> address(TimePoint now);
  // Nothing is known, and the last look-up brought nothing.
  bool unknown() const { return !known_ && fruitless_; }
  // It does not answer: the name may mean another host by now.
  void doubt(TimePoint now);

 private:
  struct Query;
  void begin(TimePoint now);

  std::string host_;
  bool numeric_;
  std::optional<std::string> known_;
  std::shared_ptr<Query> query_;  // while one is under way
  bool fruitless_ = false;
  TimePoint next_query_at_{};
};

}  // namespace ptrain::net
