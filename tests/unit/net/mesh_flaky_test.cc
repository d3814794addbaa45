// Real connections that are cut again and again: the layer above must not notice.

#include <thread>

#include <gtest/gtest.h>

#include "tests/unit/net/mesh_fixture.h"
#include "tests/unit/net/tcp_proxy.h"

namespace ptrain::net {
namespace {

using namespace std::chrono_literals;
using wire::MessageKind;
using wire::Urgency;

constexpr std::uint64_t kMessages = 20000;  // each way
constexpr std::uint64_t kAhead = 2000;      // sent before the other side's are awaited

MessageKind kind_of(std::uint64_t number) {
  return number % 4 == 0 ? MessageKind::step_report : MessageKind::activation;
}

std::size_t size_of(std::uint64_t number) { return (number * 37) % 3000; }

// Sends its messages and takes the other's; what arrives must be the next of its urgency.
void exchange(Mesh& mesh, std::uint32_t self) {
  const StageIndex other(1 - self);
  std::uint64_t sent = 0;
  std::uint64_t received = 0;
  std::uint64_t next[wire::kUrgencies] = {0, 1, 0};
  while (received < kMessages) {
    for (; sent < kMessages && sent < received + kAhead; ++sent) {
      mesh.send(other, test_message(self, sent, size_of(sent), kind_of(sent)));
    }
    const auto message = mesh.receive(60s);
    ASSERT_TRUE(message) << "after " << received;
    const Urgency urgency = wire::urgency_of(message->name.kind);
    std::uint64_t& expected = next[static_cast<int>(urgency)];
    ASSERT_TRUE(holds(*message,
                      test_message(other.value(), expected, size_of(expected), kind_of(expected))))
        << to_string(message->name) << ", expected " << expected;
    ++received;
    do {
      ++expected;
    } while (wire::urgency_of(kind_of(expected)) != urgency);
  }
}

void survive_random_cuts(std::uint8_t connections) {
  SteadyClock clock;
  RecordingLog log;
  auto options0 = options_of(0, "tcp://127.0.0.1:0", {{1, "tcp://127.0.0.1:1"}});
  options0.reconnect_timeout = 20s;
  Mesh stage0(options0, log, clock);
  TcpProxy proxy(stage0.listening().port, 1u << 20, 42);
  auto options1 = options_of(1, "tcp://127.0.0.1:0", {{0, proxy.endpoint()}});
  options1.reconnect_timeout = 20s;
  options1.connections = connections;
  Mesh stage1(options1, log, clock);
  stage0.await_peers();
  stage1.await_peers();
  std::thread there([&] { exchange(stage1, 1); });
  exchange(stage0, 0);
  there.join();
  EXPECT_GT(proxy.cuts(), 10) << "or the test shows nothing";
  EXPECT_GT(stage0.traffic(StageIndex(1)).reconnects, 10u);
  proxy.calm();
  std::thread closing([&] { EXPECT_TRUE(stage1.close(60s)); });
  EXPECT_TRUE(stage0.close(60s));
  closing.join();
}

TEST(MeshFlaky, TwentyThousandMessagesEachWaySurviveRandomCuts) { survive_random_cuts(1); }

TEST(MeshFlaky, TheySurviveThemOverSeveralConnectionsToo) { survive_random_cuts(3); }

}  // namespace
}  // namespace ptrain::net
