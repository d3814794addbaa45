// Messages that never end, where they come through a tunnel, and from a relay.

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zmq.hpp>

#include "libcommon/base/clock.h"
#include "libcommon/net/keys.h"
#include "libcommon/net/local_splice.h"
#include "libcommon/net/zmq/listener.h"
#include "libcommon/net/zmq/zmq_control_link.h"
#include "libcommon/os/quiet_thread.h"
#include "libcommon/wire/envelope.h"
#include "tests/unit/net/endless_sender.h"

namespace ptrain::net {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::size_t kManyBytes = 32u << 20;

class AnyoneComes final : public Admission {
 public:
  bool admits(const PublicKey&) const override { return true; }
  Verdict judge(const Caller&) override { return PeerHandle(1); }
  void left(PeerHandle) override {}
};

class Sink final : public PathSink {
 public:
  LinkId next_path_id() override { return LinkId(1); }
  void path_opened(Path&, PeerHandle) override { opened = true; }
  void path_lost(LinkId) override {}
  void arrived(LinkId, Arrival) override {}
  void attempt_failed(PeerHandle, const Error&, bool) override {}
  void refused(const std::string& why) override { refusals.push_back(why); }

  bool opened = false;
  std::vector<std::string> refusals;
};

std::string hello() {
  const wire::Hello said{.version = wire::kProtocolVersion,
                         .run = "r",
                         .job_hash = "h",
                         .stage_count = 2,
                         .data_fingerprint = "",
                         .stage = StageIndex(1),
                         .incarnation = 1,
                         .received = {}};
  const auto header = wire::encode_header(said, 1);
  return {reinterpret_cast<const char*>(header.data()), header.size()};
}

// Until `attack`, on a thread of its own, has ended: what it found.
template <class Attack, class Round>
bool during(Attack attack, Round round) {
  std::atomic<bool> over = false;
  bool found = false;
  std::thread attacker([&] {
    found = attack();
    over = true;
  });
  while (!over) {
    round(SteadyClock().now());
    std::this_thread::sleep_for(1ms);
  }
  attacker.join();
  return found;
}

// A member that was let in, through a relay or a hole.
TEST(EndlessMessage, ThatATunnelBringsIsCutOff) {
  const auto carried = std::make_shared<CarriedBytes>();
  const std::string name = "ptrain-test-" + std::to_string(::getpid());
  zmq::context_t context;
  AnyoneComes admission;
  Endpoint near;
  near.kind = EndpointKind::ipc;
  near.path = "@" + name;
  Listener listener(
      context, {.endpoint = near, .name = "the tunnel", .key = std::nullopt, .carried = carried},
      "", admission);
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  os::FileDescriptor theirs(ends[0]);
  const os::FileDescriptor remote(ends[1]);
  ASSERT_EQ(::fcntl(remote.get(), F_SETFL, O_NONBLOCK), 0);
  const os::FileDescriptor stop(::eventfd(0, EFD_CLOEXEC));
  std::thread tunnel = os::quiet_thread([&] {
    const auto local = meet_libzmq(LocalEnd::dials, name, stop.get(), [] {});
    splice_both_ways(remote.get(), local->get(), stop.get(), *carried);
    ::shutdown(remote.get(), SHUT_RDWR);
  });
  Sink sink;
  const bool cut_off = during(
      [&] {
        EndlessSender sender(std::move(theirs), "DEALER");
        sender.send_whole(hello());
        return sender.is_cut_off_within(kManyBytes);
      },
      [&](TimePoint now) { listener.process(sink, now); });
  EXPECT_TRUE(cut_off);
  EXPECT_TRUE(sink.opened);
  EXPECT_THAT(sink.refusals,
              ElementsAre(AllOf(HasSubstr("the tunnel"), HasSubstr("does not end"))));
  ASSERT_EQ(::eventfd_write(stop.get(), 1), 0);
  tunnel.join();
}

TEST(EndlessMessage, OfARelayIsCutOff) {
  const os::FileDescriptor listening(::socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  ASSERT_EQ(::bind(listening.get(), generic, size), 0);
  ASSERT_EQ(::listen(listening.get(), 1), 0);
  ASSERT_EQ(::getsockname(listening.get(), generic, &size), 0);

  zmq::context_t context;
  Endpoint control;
  control.host = "127.0.0.1";
  control.port = ntohs(address.sin_port);
  ZmqControlLink link(context, {.control = control, .key = KeyPair::generate()});
  std::string trouble;
  const bool cut_off = during(
      [&] {
        EndlessSender relay(os::FileDescriptor(::accept(listening.get(), nullptr, nullptr)),
                            "ROUTER");
        return relay.is_cut_off_within(kManyBytes);
      },
      [&](TimePoint now) {
        link.process(now);
        if (trouble.empty()) trouble = link.trouble();
      });
  EXPECT_TRUE(cut_off);
  EXPECT_THAT(trouble, HasSubstr("does not end"));
}

}  // namespace
}  // namespace ptrain::net
