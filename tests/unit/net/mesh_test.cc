// A mesh over real sockets, when all is well.

#include "libcommon/net/mesh.h"

#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "libcommon/wire/frame.h"
#include "tests/unit/net/mesh_fixture.h"

namespace ptrain::net {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using wire::MessageKind;

TEST(Mesh, CarriesMessagesBothWaysOverTcp) {
  Pair pair;
  pair.stage0->send(StageIndex(1), test_message(0, 5, 1000));
  pair.stage1->send(StageIndex(0), test_message(1, 6, 0, MessageKind::gradient));
  const auto at1 = pair.stage1->receive(20s);
  const auto at0 = pair.stage0->receive(20s);
  ASSERT_TRUE(at1 && at0);
  EXPECT_TRUE(holds(*at1, test_message(0, 5, 1000)));
  EXPECT_TRUE(holds(*at0, test_message(1, 6, 0, MessageKind::gradient)));
}

TEST(Mesh, CarriesMessagesOverIpc) {
  const std::string path = testing::TempDir() + "ptrain-" + std::to_string(::getpid());
  Pair pair("ipc://" + path);
  pair.stage1->send(StageIndex(0), test_message(1, 1, 3u << 20, MessageKind::gradient));
  const auto got = pair.stage0->receive(20s);
  ASSERT_TRUE(got);
  EXPECT_TRUE(holds(*got, test_message(1, 1, 3u << 20, MessageKind::gradient)));
}

TEST(Mesh, CarriesTheDescriptionOfATensor) {
  Pair pair;
  auto message = test_message(0, 1, 2 * 3 * 2);
  message.tensor = {.dtype = wire::DType::bfloat16, .shape = {2, 3}, .codec = ""};
  pair.stage0->send(StageIndex(1), message);
  const auto got = pair.stage1->receive(20s);
  ASSERT_TRUE(got);
  EXPECT_EQ(got->tensor, message.tensor);
}

TEST(Mesh, ReceiveReturnsNothingWhenNothingCame) {
  Pair pair;
  EXPECT_FALSE(pair.stage0->receive(10ms));
}

TEST(Mesh, ThreeStagesTalkToEachOther) {
  SteadyClock clock;
  RecordingLog log;
  const std::string nowhere = "tcp://127.0.0.1:1";
  Mesh stage0(options_of(0, "tcp://127.0.0.1:0", {{1, nowhere}, {2, nowhere}}), log, clock);
  const std::string at0 = to_string(stage0.listening());
  Mesh stage1(options_of(1, "tcp://127.0.0.1:0", {{0, at0}, {2, nowhere}}), log, clock);
  const std::string at1 = to_string(stage1.listening());
  Mesh stage2(options_of(2, "tcp://127.0.0.1:0", {{0, at0}, {1, at1}}), log, clock);
  for (Mesh* mesh : {&stage0, &stage1, &stage2}) mesh->await_peers();
  stage2.send(StageIndex(0), test_message(2, 1, 10, MessageKind::step_report));
  stage2.send(StageIndex(1), test_message(2, 2, 10, MessageKind::gradient));
  EXPECT_TRUE(stage0.receive(20s));
  EXPECT_TRUE(stage1.receive(20s));
}

TEST(Mesh, CloseReturnsWhenAllIsAcknowledged) {
  Pair pair;
  for (int i = 0; i < 100; ++i) pair.stage0->send(StageIndex(1), test_message(0, i, 10000));
  EXPECT_TRUE(pair.stage0->close(20s));
  for (int i = 0; i < 100; ++i) {
    const auto got = pair.stage1->receive(20s);
    ASSERT_TRUE(got) << i;
    EXPECT_TRUE(holds(*got, test_message(0, i, 10000)));
  }
  EXPECT_TRUE(departs(*pair.stage1, StageIndex(0)));
  EXPECT_TRUE(pair.stage1->close(20s));
}

TEST(Mesh, ControlOvertakesALargeMessage) {
  Pair pair("tcp://127.0.0.1:0", [](MeshOptions& options) {
    options.credit_window = ByteCount(4u << 20);
    options.up_rate_bytes_per_s = ByteCount(32u << 20);  // the large one takes two seconds
  });
  const auto large = test_message(0, 1, 64u << 20);
  pair.stage0->send(StageIndex(1), large);
  pair.stage0->send(StageIndex(1), test_message(0, 2, 10, MessageKind::step_verdict));
  const auto first = pair.stage1->receive(20s);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->name.kind, MessageKind::step_verdict);
  EXPECT_EQ(pair.stage1->traffic(StageIndex(0)).bulk.rx_payload < ByteCount(64u << 20), true)
      << "it came while the large one was still under way";
  const auto second = pair.stage1->receive(20s);
  ASSERT_TRUE(second);
  EXPECT_TRUE(holds(*second, large));
}

TEST(Mesh, CountsTheBytesOfControlAndOfBulk) {
  Pair pair;
  pair.stage0->send(StageIndex(1), test_message(0, 1, 100000));
  pair.stage0->send(StageIndex(1), test_message(0, 1, 50, MessageKind::step_verdict));
  ASSERT_TRUE(pair.stage1->receive(20s));
  ASSERT_TRUE(pair.stage1->receive(20s));
  ASSERT_TRUE(pair.stage0->close(20s));
  const Traffic sent = pair.stage0->traffic(StageIndex(1));
  EXPECT_EQ(sent.bulk.tx_payload, ByteCount(100000));
  EXPECT_EQ(sent.control.tx_payload, ByteCount(50));
  EXPECT_GT(sent.control.tx_overhead, ByteCount(0));
  EXPECT_LT(sent.bulk.tx_overhead, ByteCount(2000));
  EXPECT_EQ(sent.queued, ByteCount(0));
  EXPECT_EQ(pair.stage1->traffic(StageIndex(0)).bulk.rx_payload, ByteCount(100000));
}

// Asks again, while messages may come and go, until it holds.
template <class Condition>
bool comes_true(Mesh& mesh, Condition condition) {
  for (int i = 0; i < 1000; ++i) {
    if (condition()) return true;
    EXPECT_FALSE(mesh.receive(20ms)) << "nothing was sent";
  }
  return false;
}

TEST(Mesh, SaysWhichPathItUsesAndWhyAndHowLongARoundTripTakes) {
  Pair pair;
  const auto traffic = [&] { return pair.stage1->traffic(StageIndex(0)); };
  ASSERT_TRUE(comes_true(*pair.stage1, [&] { return traffic().round_trip && traffic().route; }));
  EXPECT_EQ(traffic().route, Route{.kind = RouteKind::direct});
  EXPECT_EQ(traffic().why, "the first that worked");
  EXPECT_EQ(traffic().path_changes, 0u);
  EXPECT_GT(*traffic().round_trip, Duration{});
}

TEST(Mesh, SendsNothingOverAKindOfPathThatIsNotAllowedAnyMore) {
  Pair pair("tcp://127.0.0.1:0", [](MeshOptions& options) { options.reconnect_timeout = 60s; });
  const auto route = [&] { return pair.stage1->traffic(StageIndex(0)).route; };
  ASSERT_TRUE(comes_true(*pair.stage1, [&] { return route().has_value(); }));
  EXPECT_TRUE(pair.stage1->lost_links().empty());
  EXPECT_EQ(pair.stage1->missing(), "");
  pair.stage1->allow(RouteKinds::only(RouteKind::relayed));
  ASSERT_TRUE(comes_true(*pair.stage1, [&] { return !route().has_value(); }));
  const auto lost = pair.stage1->lost_links();
  ASSERT_EQ(lost.size(), 1U);
  EXPECT_EQ(lost.front().stage, StageIndex(0));
  EXPECT_EQ(lost.front().path, to_string(pair.stage0->listening()));
  EXPECT_EQ(lost.front().ends - lost.front().since, 60s);
  pair.stage1->send(StageIndex(0), test_message(1, 1, 1000));
  pair.stage0->send(StageIndex(1), test_message(0, 1, 1000));
  ASSERT_TRUE(pair.stage1->receive(20s)) << "the other side may go on";
  EXPECT_EQ(pair.stage0->traffic(StageIndex(1)).bulk.rx_payload, ByteCount(0));
  pair.stage1->allow(RouteKinds::all());
  EXPECT_TRUE(pair.stage0->receive(20s));
}

TEST(Mesh, CurveProtectsEveryConnection) {
  const KeyPair key0 = KeyPair::generate();
  const KeyPair key1 = KeyPair::generate();
  SteadyClock clock;
  RecordingLog log;
  auto options0 =
      options_of(0, "tcp://127.0.0.1:0", {{1, "tcp://127.0.0.1:1#" + to_hex(key1.public_key())}});
  options0.key = key0;
  Mesh stage0(options0, log, clock);
  EXPECT_EQ(stage0.listening().key, key0.public_key());
  auto options1 = options_of(1, "tcp://127.0.0.1:0", {{0, to_string(stage0.listening())}});
  options1.key = key1;
  Mesh stage1(options1, log, clock);
  stage0.await_peers();
  stage1.await_peers();
  stage0.send(StageIndex(1), test_message(0, 1, 3u << 20));
  const auto got = stage1.receive(20s);
  ASSERT_TRUE(got);
  EXPECT_TRUE(holds(*got, test_message(0, 1, 3u << 20)));
}

TEST(Mesh, BulkGoesOverAsManyConnectionsAsAreWanted) {
  Pair pair("tcp://127.0.0.1:0", [](MeshOptions& options) { options.connections = 4; });
  for (int i = 0; i < 20; ++i) {
    pair.stage0->send(StageIndex(1), test_message(0, i, 3u << 20));
    pair.stage1->send(StageIndex(0), test_message(1, i, 3u << 20, MessageKind::gradient));
  }
  for (int i = 0; i < 20; ++i) {
    for (auto* stage : {pair.stage0.get(), pair.stage1.get()}) {
      const auto message = stage->receive(30s);
      ASSERT_TRUE(message);
      EXPECT_EQ(message->name.step, Step(i));
    }
  }
  const std::string four = "(4 connections)";
  EXPECT_THAT(path_with(four, *pair.stage1, StageIndex(0)), HasSubstr(four));
  EXPECT_THAT(path_with(four, *pair.stage0, StageIndex(1)), HasSubstr(four));
  // What left on account of a report is counted with the next ping.
  const auto sent = [&] { return pair.stage0->traffic(StageIndex(1)).bulk.tx_payload.value(); };
  const auto deadline = std::chrono::steady_clock::now() + 20s;
  while (sent() < 20u * (3u << 20) && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(20ms);
  }
  EXPECT_EQ(sent(), 20u * (3u << 20));
}

TEST(Mesh, ANumberOfConnectionsThatCannotBeIsRefused) {
  for (const int wrong : {0, wire::kMaxConnections + 1}) {
    const auto text = error_text(ErrorKind::usage, [&] {
      Pair pair(
          "tcp://127.0.0.1:0",
          wrong == 0 ? [](MeshOptions& o) { o.connections = 0; }
                     : [](MeshOptions& o) { o.connections = wire::kMaxConnections + 1; });
    });
    EXPECT_THAT(text, testing::HasSubstr(std::to_string(wrong) + " connections"));
  }
}

}  // namespace
}  // namespace ptrain::net
