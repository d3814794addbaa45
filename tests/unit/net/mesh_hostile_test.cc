// Strangers at the port of a running mesh: refused, reported, and otherwise without effect.

#include <random>
#include <thread>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zmq.hpp>

#include "libcommon/wire/envelope.h"
#include "tests/unit/net/mesh_fixture.h"
#include "tests/unit/net/tcp_proxy.h"

namespace ptrain::net {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::HasSubstr;
using wire::MessageKind;

// Warnings are limited to one in five seconds, so each test starts its own mesh.
void expect_alive(Pair& pair) {
  pair.stage0->send(StageIndex(1), test_message(0, 1, 100000));
  pair.stage1->send(StageIndex(0), test_message(1, 2, 100000, MessageKind::gradient));
  EXPECT_TRUE(pair.stage1->receive(20s));
  EXPECT_TRUE(pair.stage0->receive(20s));
}

bool warned(const RecordingLog& log, const std::string& text) {
  for (int i = 0; i < 400; ++i) {
    if (log.all().find(text) != std::string::npos) return true;
    std::this_thread::sleep_for(50ms);
  }
  return false;
}

// A plain ZeroMQ socket at the port of stage 0.
struct Stranger {
  zmq::context_t context;
  zmq::socket_t socket{context, zmq::socket_type::dealer};
  explicit Stranger(const Mesh& mesh) {
    socket.set(zmq::sockopt::linger, 1000);
    socket.connect(zmq_address(mesh.listening()));
  }
  void send(const std::vector<std::vector<std::byte>>& parts) {
    for (std::size_t i = 0; i < parts.size(); ++i) {
      socket.send(zmq::const_buffer(parts[i].data(), parts[i].size()),
                  i + 1 < parts.size() ? zmq::send_flags::sndmore : zmq::send_flags::none);
    }
  }
};

std::vector<std::byte> noise(std::size_t bytes, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<std::byte> result(bytes);
  for (auto& byte : result) byte = static_cast<std::byte>(random());
  return result;
}

wire::Hello hello_of(std::uint32_t stage, std::uint16_t version = wire::kProtocolVersion) {
  return {.version = version,
          .run = "run-1",
          .job_hash = "cafe",
          .stage_count = 2,
          .data_fingerprint = "d00d",
          .stage = StageIndex(stage),
          .incarnation = 99,
          .received = {}};
}

TEST(MeshHostile, RawBytesAtThePortDoNoHarm) {
  Pair pair;
  const std::uint16_t port = pair.stage0->listening().port;
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    const auto socket = connect_to(port);
    const auto bytes = noise(1 + seed * 100, seed);
    EXPECT_GT(::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL), 0);
  }
  const auto browser = connect_to(port);
  const std::string request = "GET / HTTP/1.1\r\nHost: here\r\n\r\n";
  EXPECT_GT(::send(browser.get(), request.data(), request.size(), MSG_NOSIGNAL), 0);
  expect_alive(pair);
}

TEST(MeshHostile, GarbageInValidZeromqFramesIsRefusedAndReported) {
  Pair pair;
  Stranger stranger(*pair.stage0);
  for (std::uint64_t seed = 0; seed < 100; ++seed) stranger.send({noise(8 * (seed % 20), seed)});
  stranger.send({noise(64, 1), noise(64, 2), noise(64, 3), noise(64, 4)});
  stranger.send({noise(wire::kMaxHeaderBytes + 8, 5)});
  EXPECT_TRUE(warned(pair.log0, "refused"));
  expect_alive(pair);
}

TEST(MeshHostile, AnOversizedFrameEndsItsConnectionOnly) {
  Pair pair;
  Stranger stranger(*pair.stage0);
  stranger.send({noise(16, 1), noise(8u << 20, 2)});
  std::this_thread::sleep_for(100ms);
  expect_alive(pair);
}

TEST(MeshHostile, AStageThatHasNoBusinessHereIsReported) {
  Pair pair;
  Stranger stranger(*pair.stage0);
  stranger.send({wire::encode_header(hello_of(7), 1)});
  EXPECT_TRUE(warned(pair.log0, "stage 7"));
  expect_alive(pair);
}

TEST(MeshHostile, AFrameWithoutAHelloHasNoEffect) {
  Pair pair;
  Stranger stranger(*pair.stage0);
  stranger.send({wire::encode_header(wire::Goodbye{.failed = true, .reason = "die"}, 1)});
  stranger.send(
      {wire::encode_header(wire::Acknowledgement{.received = {{{.next = 1u << 30}}}}, 2)});
  std::this_thread::sleep_for(100ms);
  expect_alive(pair);
}

TEST(MeshHostile, AnotherVersionIsNamedWhileTheJobStarts) {
  SteadyClock clock;
  RecordingLog log;
  Mesh stage0(options_of(0, "tcp://127.0.0.1:0", {{1, "tcp://127.0.0.1:1"}}), log, clock);
  Stranger stranger(stage0);
  stranger.send({wire::encode_header(hello_of(1, 77), 1)});
  EXPECT_THAT(error_text(ErrorKind::usage, [&] { stage0.await_peers(); }),
              AllOf(HasSubstr("protocol version 77"),
                    HasSubstr(fmt::format("ours is {}", wire::kProtocolVersion))));
}

TEST(MeshHostile, ManyConnectionsThatSayNothingDoNoHarm) {
  Pair pair;
  std::vector<os::FileDescriptor> silent;
  for (int i = 0; i < 200; ++i) silent.push_back(connect_to(pair.stage0->listening().port));
  expect_alive(pair);
}

struct CurvePair {
  KeyPair key0 = KeyPair::generate();
  KeyPair key1 = KeyPair::generate();
  SteadyClock clock;
  RecordingLog log;
  Mesh stage0{options0(), log, clock};

  MeshOptions options0() const {
    auto options =
        options_of(0, "tcp://127.0.0.1:0", {{1, "tcp://127.0.0.1:1#" + to_hex(key1.public_key())}});
    options.key = key0;
    return options;
  }
};

TEST(MeshHostile, AKeyThatIsNotAdmittedIsRefusedOnBothSides) {
  CurvePair pair;
  auto options = options_of(1, "tcp://127.0.0.1:0", {{0, to_string(pair.stage0.listening())}});
  options.key = KeyPair::generate();
  Mesh stranger(options, pair.log, pair.clock);
  const std::string theirs = to_hex(*pair.stage0.listening().key);
  const std::string ours = to_hex(options.key->public_key());
  try {
    stranger.await_peers();
    ADD_FAILURE() << "it was let in";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::permission);
    EXPECT_THAT(error.what(),
                AllOf(HasSubstr("stage 0 at tcp://127.0.0.1:"),
                      HasSubstr("does not admit our key " + ours), HasSubstr(theirs)));
    EXPECT_THAT(error.hint(), AllOf(HasSubstr("--peer 1="), HasSubstr("must end in #" + ours)));
  }
  EXPECT_TRUE(warned(pair.log, "refused 127.0.0.1 with key " + ours));
  EXPECT_TRUE(warned(pair.log, "must end in #" + ours));
}

TEST(MeshHostile, AListenerWithAnotherKeyIsNotTalkedTo) {
  CurvePair pair;
  Endpoint wrong = pair.stage0.listening();
  wrong.key = KeyPair::generate().public_key();
  auto options = options_of(1, "tcp://127.0.0.1:0", {{0, to_string(wrong)}});
  options.key = pair.key1;
  options.connect_timeout = 1500ms;
  Mesh stage1(options, pair.log, pair.clock);
  EXPECT_THAT(error_text(ErrorKind::unavailable, [&] { stage1.await_peers(); }),
              HasSubstr("stage 0"));
}

TEST(MeshHostile, AnAdmittedKeyCannotPoseAsAnotherStage) {
  CurvePair pair;
  auto options0 = pair.options0();
  const KeyPair key2 = KeyPair::generate();
  options0.peers.push_back(
      {StageIndex(2), parse_endpoint("tcp://127.0.0.1:1#" + to_hex(key2.public_key()))});
  Mesh stage0(options0, pair.log, pair.clock);
  // Stage 2's key, stage 1's number.
  auto options = options_of(1, "tcp://127.0.0.1:0", {{0, to_string(stage0.listening())}});
  options.key = key2;
  Mesh imposter(options, pair.log, pair.clock);
  EXPECT_THAT(error_text(ErrorKind::usage, [&] { imposter.await_peers(); }),
              AllOf(HasSubstr("stage 0 at tcp://127.0.0.1:"),
                    HasSubstr("#" + to_hex(pair.key1.public_key())),
                    HasSubstr("#" + to_hex(key2.public_key()))));
  EXPECT_TRUE(warned(pair.log, "is not that of stage 1"));
}

TEST(MeshHostile, APlainSocketCannotTalkToACurveListener) {
  CurvePair pair;
  Stranger stranger(pair.stage0);
  stranger.send({wire::encode_header(hello_of(1, 77), 1)});
  std::this_thread::sleep_for(300ms);
  EXPECT_THAT(pair.log.all(), testing::Not(HasSubstr("version")));
}

}  // namespace
}  // namespace ptrain::net
