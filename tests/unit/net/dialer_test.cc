#include "libcommon/net/dialer.h"

#include <chrono>
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
  PathId next_path_id() override { return PathId(1); }
  void path_opened(Path&, PeerHandle, wire::Channel) override {}
  void path_lost(PathId) override {}
  void arrived(PathId, Arrival) override {}
  void attempt_failed(PeerHandle, const std::string& why, ErrorKind, bool) override {
    why_.push_back(why);
  }
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

}  // namespace
}  // namespace ptrain::net
