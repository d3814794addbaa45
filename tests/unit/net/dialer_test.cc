#include "libcommon/net/zmq/dialer.h"

#include <chrono>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libcommon/base/clock.h"
#include "libcommon/net/zmq/zmq_control_link.h"
#include "libcommon/net/zmq/zmq_parts.h"

namespace ptrain::net {
namespace {

using namespace std::chrono_literals;

class FailedAttempts final : public PathSink {
 public:
  LinkId next_path_id() override { return LinkId(1); }
  void path_opened(Path&, PeerHandle) override {}
  void path_lost(LinkId) override {}
  void arrived(LinkId, Arrival) override {}
  void attempt_failed(PeerHandle, const Error& why, bool) override { why_.push_back(why.what()); }
  void refused(const std::string&) override {}

  const std::vector<std::string>& why() const { return why_; }

 private:
  std::vector<std::string> why_;
};

// Other sockets of its thread wake it as often as they like.
TEST(Dialer, ANameWithoutAnAddressIsReportedOnceALookUp) {
  zmq::context_t context;
  DialerOptions options;
  options.peer = PeerHandle(1);
  options.endpoint.host = "no such host";
  options.endpoint.port = 7001;
  Dialer dialer(context, options);
  FailedAttempts sink;
  const SteadyClock clock;
  const TimePoint patience = clock.now() + 30s;
  while (sink.why().empty() && clock.now() < patience) {
    dialer.process(sink, clock.now());
    std::this_thread::sleep_for(1ms);
  }
  const TimePoint now = clock.now();
  for (int i = 0; i < 100; ++i) dialer.process(sink, now);
  EXPECT_THAT(sink.why(), testing::ElementsAre("its name has no address"));
}

// As where a process is out of descriptors: a node goes on with what it has, and tries again.
TEST(Dialer, ASocketThatCannotBeMadeIsAFailedAttemptAndTriedAgain) {
  zmq::context_t context(1, 1);
  std::optional<zmq::socket_t> only(std::in_place, context, zmq::socket_type::dealer);
  DialerOptions options;
  options.peer = PeerHandle(1);
  options.endpoint = parse_endpoint("tcp://127.0.0.1:1");
  Dialer dialer(context, options);
  FailedAttempts sink;
  const SteadyClock clock;
  const TimePoint now = clock.now();
  dialer.process(sink, now);
  EXPECT_THAT(sink.why(), testing::ElementsAre(testing::HasSubstr("no socket")));
  EXPECT_GT(dialer.next_tick(), now);
  EXPECT_LE(dialer.next_tick(), now + kLastRetry);
}

TEST(ControlLink, ASocketThatCannotBeMadeIsAFailedAttemptAndTriedAgain) {
  zmq::context_t context(1, 1);
  std::optional<zmq::socket_t> only(std::in_place, context, zmq::socket_type::dealer);
  const KeyPair key = KeyPair::generate();
  Endpoint relay = parse_endpoint("tcp://127.0.0.1:1");
  relay.key = key.public_key();
  ZmqControlLink link(context, {.control = relay, .key = key});
  const SteadyClock clock;
  const TimePoint now = clock.now();
  EXPECT_TRUE(link.process(now).empty());
  EXPECT_THAT(link.trouble(), testing::HasSubstr("no socket"));
  EXPECT_GT(link.next_tick(), now);
  EXPECT_LE(link.next_tick(), now + kLastRetry);
}

// The kernel's buffers take some, libzmq's queue so many, and then its connection is given up.
TEST(SendQueue, HoldsSoManyFramesForWhoNeverReads) {
  zmq::context_t context;
  zmq::socket_t router(context, zmq::socket_type::router);
  configure(router, "127.0.0.1");
  router.set(zmq::sockopt::router_mandatory, true);
  router.set(zmq::sockopt::sndbuf, 4096);
  router.bind("tcp://127.0.0.1:*");
  zmq::socket_t dealer(context, zmq::socket_type::dealer);
  dealer.set(zmq::sockopt::linger, 0);
  dealer.set(zmq::sockopt::rcvhwm, 1);
  dealer.set(zmq::sockopt::rcvbuf, 4096);
  dealer.connect(router.get(zmq::sockopt::last_endpoint));
  dealer.send(zmq::str_buffer("hello"), zmq::send_flags::none);
  zmq::message_t routing_id;
  ASSERT_TRUE(router.recv(routing_id));
  const std::string whom = routing_id.to_string();
  zmq::message_t hello;
  ASSERT_TRUE(router.recv(hello));
  constexpr int kFarTooMany = 10 * kSendQueueFrames;
  int taken = 0;
  while (taken < kFarTooMany && send_frame(router, &whom, wire::Ping{}, 1)) ++taken;
  EXPECT_GE(taken, kSendQueueFrames);
  EXPECT_LT(taken, kFarTooMany);
}

}  // namespace
}  // namespace ptrain::net
