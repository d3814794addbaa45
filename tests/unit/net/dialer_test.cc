#include "libcommon/net/zmq/dialer.h"

#include <chrono>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libcommon/base/clock.h"

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

}  // namespace
}  // namespace ptrain::net
