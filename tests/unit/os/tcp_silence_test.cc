#include "libcommon/os/tcp_silence.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "libcommon/os/file_descriptor.h"

namespace ptrain::os {
namespace {

using namespace std::chrono_literals;

// Looks at regular intervals until `silence` says so; how long that took, nullopt if it never does.
template <typename StateAt>
std::optional<Duration> noticed_after(TcpSilence& silence, StateAt state_at) {
  for (Duration passed{}; passed < 60s; passed += kTcpSilenceInterval) {
    if (silence.noticed(state_at(passed), TimePoint{} + passed)) return passed;
  }
  return std::nullopt;
}

TEST(TcpSilence, RepetitionsThatNothingAnswersAreNoticedAfterTwoSeconds) {
  TcpSilence silence;
  const auto after = noticed_after(silence, [](Duration passed) {
    return TcpState{
        .repetitions = passed < 1s ? 0u : 1u, .since_answer = passed, .round_trip = 50ms};
  });
  EXPECT_EQ(after, 1s + kTcpSilence);
}

TEST(TcpSilence, AnIdleConnectionThatBeginsToSendHasTheSameTime) {
  TcpSilence silence;
  const auto after = noticed_after(silence, [](Duration passed) {
    return TcpState{.repetitions = 1, .since_answer = passed + 1h, .round_trip = 50ms};
  });
  EXPECT_EQ(after, kTcpSilence);
}

TEST(TcpSilence, ALongWayHasLonger) {
  TcpSilence silence;
  const auto after = noticed_after(silence, [](Duration passed) {
    return TcpState{.repetitions = 1, .since_answer = passed, .round_trip = 3s};
  });
  EXPECT_EQ(after, kSilentRoundTrips * 3s);
}

TEST(TcpSilence, AFullReceiverThatAnswersProbesIsNotSilent) {
  TcpSilence silence;
  EXPECT_EQ(noticed_after(silence,
                          [](Duration passed) {
                            return TcpState{.probes = 3, .since_answer = passed % 1900ms};
                          }),
            std::nullopt);
}

TEST(TcpSilence, RareAnswersToRareProbesAreAnswers) {
  TcpSilence silence;
  EXPECT_EQ(noticed_after(silence,
                          [](Duration passed) {
                            const Duration since_probe = passed % 8s;
                            return TcpState{.probes = since_probe < 500ms ? 1u : 0u,
                                            .since_answer = 8s + since_probe};
                          }),
            std::nullopt);
}

// The next one comes after twice as long.
TEST(TcpSilence, OneLostProbeIsNotSilence) {
  TcpSilence silence;
  EXPECT_EQ(noticed_after(silence,
                          [](Duration passed) {
                            return TcpState{.probes = passed < 15s ? 1u : 2u,
                                            .since_answer = 7s + passed,
                                            .round_trip = 50ms};
                          }),
            std::nullopt);
}

TEST(TcpSilence, ThreeUnansweredProbesAreSilence) {
  TcpSilence silence;
  const auto after = noticed_after(silence, [](Duration passed) {
    const std::uint32_t probes = passed < 400ms ? 1 : passed < 1400ms ? 2 : kSilentProbes;
    return TcpState{.probes = probes, .since_answer = passed, .round_trip = 50ms};
  });
  EXPECT_EQ(after, kTcpSilence);
}

TEST(TcpSilence, OneLostSegmentIsNotSilence) {
  TcpSilence silence;
  EXPECT_EQ(noticed_after(silence,
                          [](Duration passed) {
                            return TcpState{.repetitions = passed % 2s < 1500ms ? 2u : 0u,
                                            .since_answer = passed % 2s};
                          }),
            std::nullopt);
}

TEST(TcpSilence, TheKernelSaysHowAConnectionIs) {
  const FileDescriptor listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  ASSERT_EQ(::bind(listener.get(), generic, size), 0);
  ASSERT_EQ(::listen(listener.get(), 1), 0);
  ASSERT_EQ(::getsockname(listener.get(), generic, &size), 0);
  const FileDescriptor client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(::connect(client.get(), generic, size), 0);
  ASSERT_EQ(::send(client.get(), "x", 1, 0), 1);
  const auto state = read_tcp_state(client.get());
  ASSERT_TRUE(state);
  EXPECT_EQ(state->repetitions, 0u);
  EXPECT_EQ(state->probes, 0u);
  EXPECT_GT(state->round_trip, 0ns);
  EXPECT_LT(state->since_answer, 10s);
  EXPECT_FALSE(read_tcp_state(::fileno(stderr)));
  EXPECT_FALSE(read_tcp_state(-1));
}

}  // namespace
}  // namespace ptrain::os
