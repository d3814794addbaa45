// The transport of libzmq: connections over TCP and socket files, CURVE wherever there is a key.
//
// One context and one thread of libzmq's for all connections of a node.

#pragma once

#include <functional>
#include <memory>
#include <string>

#include <zmq.hpp>

#include "libcommon/net/loop_entry.h"
#include "libcommon/net/transport.h"
#include "libcommon/net/zmq/zap.h"

namespace ptrain::net {

class ZmqTransport final : public Transport {
 public:
  // Both outlive the object.
  ZmqTransport(os::Loop& loop, const Clock& clock);

  void admit(Admission& admission, std::function<void(const std::string&)> refused) override;
  Listening listen(const ListenerOptions& options) override;
  std::unique_ptr<PathSource> dial(DialerOptions options) override;
  std::unique_ptr<Punching> punch(PunchingOptions options, RandomSource& random) override;
  std::unique_ptr<ControlLink> ask_relay(ControlLinkOptions options) override;

 private:
  os::Loop& loop_;
  const Clock& clock_;
  zmq::context_t context_;
  Admission* admission_ = nullptr;
  std::function<void(const std::string&)> refused_;
  std::unique_ptr<ZapHandler> zap_;
  std::unique_ptr<LoopEntry> zap_entry_;
};

}  // namespace ptrain::net
