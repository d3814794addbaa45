// What strangers and members may try at the data port. After each attempt, and where it
// lasts, during it, two others still get their bytes through.

#include <array>
#include <deque>
#include <initializer_list>
#include <vector>

#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/resource.h>

#include "tests/unit/relay/carrier/carrier_client.h"

namespace ptrain::relay {
namespace {

using std::chrono::milliseconds;

constexpr const char* kAttacker = "127.6.6.6";

std::string from_bytes(std::initializer_list<int> values) {
  std::string text;
  for (const int value : values) text.push_back(static_cast<char>(value));
  return text;
}

class CarrierAttackTest : public CarrierTest {
 protected:
  // What the attacker gets who says this after a good greeting.
  std::optional<SocksReply> answer_to(const std::string& request) {
    Client attacker = client(kAttacker);
    attacker.send(kGreeting);
    attacker.receive(kMethod.size());
    attacker.send(request);
    const auto answer = attacker.answer();
    EXPECT_TRUE(attacker.is_ended());
    return answer;
  }
};

TEST_F(CarrierAttackTest, AReplayedTokenOpensNothingAndHarmsNobody) {
  start();
  const std::string used = token(seat_of(1, 2));
  Client low = client();
  low.ask(used);
  Client high = arrived(seat_of(2, 1));
  EXPECT_EQ(high.answer(), SocksReply::succeeded);
  EXPECT_EQ(low.answer(), SocksReply::succeeded);
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(answer_to(connect_request(used)), SocksReply::host_unreachable);
  }
  expect_carries(low, high);
  expect_others_undisturbed();
}

TEST_F(CarrierAttackTest, AnEavesdropperWhoUsesATokenFirstCostsItsOwnerOneAttempt) {
  start();
  const std::string overheard = token(seat_of(1, 2));
  Client thief = client(kAttacker);
  thief.ask(overheard);
  Client high = arrived(seat_of(2, 1));
  EXPECT_EQ(high.answer(), SocksReply::succeeded);
  Client owner = client();
  owner.ask(overheard);
  EXPECT_EQ(owner.answer(), SocksReply::host_unreachable);
  EXPECT_THAT(desk_.take_spent(), ::testing::Contains(seat_of(1, 2)));
  Client owner_again = arrived(seat_of(1, 2));  // the fresh token
  EXPECT_EQ(thief.answer(), SocksReply::succeeded);
  EXPECT_TRUE(thief.is_ended());
  EXPECT_TRUE(high.is_ended());
  Client high_again = arrived(seat_of(2, 1));
  EXPECT_EQ(owner_again.answer(), SocksReply::succeeded);
  EXPECT_EQ(high_again.answer(), SocksReply::succeeded);
  expect_carries(owner_again, high_again);
  expect_others_undisturbed();
}

TEST_F(CarrierAttackTest, GuessedTokensAreRefusedAndThenTheirSourceIsNotHeard) {
  start({.lobby = {.failures = {.burst = 5, .per_s = 0.001}}});
  for (int i = 0; i < 5; ++i) {
    SCOPED_TRACE(i);
    EXPECT_EQ(answer_to(connect_request(std::string(kTokenChars, 'a'))),
              SocksReply::host_unreachable);
  }
  Client attacker = client(kAttacker);
  attacker.send(kGreeting);
  EXPECT_TRUE(attacker.is_ended());
  EXPECT_EQ(carrier_->totals().refused, 5u);
  expect_others_undisturbed();
}

TEST_F(CarrierAttackTest, NoIpv4AddressIsConnectedTo) {
  start();
  for (const auto& address :
       {std::array{127, 0, 0, 1}, std::array{10, 0, 0, 1}, std::array{192, 168, 1, 1},
        std::array{169, 254, 169, 254}, std::array{8, 8, 8, 8}, std::array{0, 0, 0, 0},
        std::array{255, 255, 255, 255}}) {
    EXPECT_EQ(answer_to(from_bytes({5, 1, 0, 1, address[0], address[1], address[2], address[3],
                                    carrier_->port() >> 8, carrier_->port() & 255})),
              SocksReply::not_allowed);
  }
  expect_others_undisturbed();
}

TEST_F(CarrierAttackTest, NoIpv6AddressIsConnectedTo) {
  start();
  const std::string loopback = std::string(15, '\0') + '\1';
  const std::string mapped = std::string(10, '\0') + from_bytes({255, 255, 127, 0, 0, 1});
  for (const auto& address : {loopback, mapped}) {
    EXPECT_EQ(answer_to(from_bytes({5, 1, 0, 4}) + address + from_bytes({0, 80})),
              SocksReply::not_allowed);
  }
  expect_others_undisturbed();
}

TEST_F(CarrierAttackTest, NoNameIsResolved) {
  start();
  for (const char* name : {"localhost", "127.0.0.1", "[::1]", "example.com", "a.invalid", "..",
                           "%00", "metadata.google.internal"}) {
    EXPECT_EQ(answer_to(connect_request(name)), SocksReply::not_allowed) << name;
  }
  expect_others_undisturbed();
}

TEST_F(CarrierAttackTest, NeitherBindNorUdpAssociateIsServed) {
  start();
  for (const int command : {2, 3, 0, 255}) {
    EXPECT_EQ(answer_to(from_bytes({5, command, 0, 1, 0, 0, 0, 0, 0, 0})),
              SocksReply::command_not_supported);
  }
  expect_others_undisturbed();
}

TEST_F(CarrierAttackTest, OversizedAndEmptyFieldsAreRefused) {
  start();
  EXPECT_EQ(answer_to(connect_request(std::string(255, 'a'))), SocksReply::not_allowed);
  EXPECT_EQ(answer_to(connect_request("")), SocksReply::not_allowed);
  EXPECT_EQ(answer_to(from_bytes({5, 1, 0, 9}) + std::string(2000, 'x')),
            SocksReply::address_not_supported);
  Client methods = client(kAttacker);
  methods.send(from_bytes({5, 255}) + std::string(255, '\x02'));
  EXPECT_EQ(methods.receive(2), from_bytes({5, 255}));
  EXPECT_TRUE(methods.is_ended());
  expect_others_undisturbed();
}

TEST_F(CarrierAttackTest, AnotherProtocolIsHungUpOn) {
  start();
  for (const char* text : {"GET http://127.0.0.1/ HTTP/1.1\r\n\r\n", "\x04\x01\x01\x01",
                           "\x16\x03\x01\x02\x01", "CONNECT 127.0.0.1:22 HTTP/1.1\r\n\r\n"}) {
    Client attacker = client(kAttacker);
    attacker.send(text);
    EXPECT_TRUE(attacker.is_ended());
  }
  expect_others_undisturbed();
}

TEST_F(CarrierAttackTest, HalfOpenHandshakesByTheThousandKeepNobodyOut) {
  start({.lobby = {.handshakes = 100, .handshakes_per_source = 40}});
  std::deque<Client> attackers;
  for (int i = 0; i < 2000; ++i) {
    if (attackers.size() == 300) attackers.pop_front();  // for descriptors of our own
    attackers.push_back(client(fmt::format("127.6.0.{}", 1 + i % 50).c_str()));
    attackers.back().reset_on_close();
    if (i % 2) attackers.back().send(kGreeting);
    if (i % 500 == 0) expect_others_undisturbed();
  }
  ASSERT_TRUE(comes_true([&] { return carrier_->totals().accepted >= 2000; }));
  EXPECT_LE(carrier_->totals().handshakes, 100u);
  expect_others_undisturbed();
}

TEST_F(CarrierAttackTest, OneSourceHasSoManyHandshakesAndNoMore) {
  start({.lobby = {.handshake = std::chrono::minutes(1), .handshakes_per_source = 3}});
  std::vector<Client> attackers;
  for (int i = 0; i < 3; ++i) {
    attackers.push_back(client(kAttacker));
    attackers.back().send(kGreeting);
    EXPECT_EQ(attackers.back().receive(2), kMethod);
  }
  Client fourth = client(kAttacker);
  EXPECT_TRUE(fourth.is_ended());
  expect_others_undisturbed();
  attackers.pop_back();
  ASSERT_TRUE(comes_true([&] { return carrier_->totals().handshakes == 2; }));
  Client again = client(kAttacker);
  again.send(kGreeting);
  EXPECT_EQ(again.receive(2), kMethod);
}

TEST_F(CarrierAttackTest, AHandshakeThatNeverEndsIsEnded) {
  start({.lobby = {.handshake = milliseconds(100)}});
  for (const std::string& beginning : {std::string(), std::string("\x05"), kGreeting}) {
    Client attacker = client(kAttacker);
    attacker.send(beginning);
    attacker.receive(2);
    EXPECT_TRUE(attacker.is_ended());
  }
  EXPECT_EQ(carrier_->totals().timed_out, 3u);
}

TEST_F(CarrierAttackTest, AHandshakeOfOneByteAtATimeHoldsNobodyUp) {
  start({.lobby = {.handshake = std::chrono::minutes(1)}});
  const std::string bytes = kGreeting + connect_request(token(seat_of(1, 2)));
  Client slow = client();
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    slow.send(bytes.substr(i, 1));
    if (i % 10 == 0) expect_others_undisturbed();
  }
  Client high = arrived(seat_of(2, 1));
  EXPECT_EQ(slow.receive(2), kMethod);
  EXPECT_EQ(slow.answer(), SocksReply::succeeded);
}

// Sends until nothing is taken any more: what the kernel holds for a receiver that is slow.
std::size_t send_until_full(Client& client) {
  const std::string bytes(1 << 16, 'x');
  std::size_t sent = 0;
  pollfd polled{client.fd(), POLLOUT, 0};
  while (::poll(&polled, 1, 1000) == 1) {
    const ssize_t count =
        ::send(client.fd(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count > 0) sent += static_cast<std::size_t>(count);
  }
  return sent;
}

TEST_F(CarrierAttackTest, ASlowReaderHoldsNobodyUpAndLosesNothing) {
  start();
  auto [low, high] = joined(1, 2);
  auto [low1, high1] = joined(1, 2, 1);
  const std::size_t sent = send_until_full(low);
  EXPECT_LT(sent, 256u << 20);
  expect_carries(low1, high1);
  expect_others_undisturbed();
  low.end();
  EXPECT_EQ(high.receive(sent + 1).size(), sent);
}

TEST_F(CarrierAttackTest, ManySlowReadersHoldNobodyUp) {
  start();
  std::vector<std::pair<Client, Client>> stuck;
  for (std::uint8_t path = 0; path < 40; ++path) {  // more than there are idle pipes
    stuck.push_back(joined(1, 2, path));
    const std::string bytes(1 << 20, 'x');
    for (int i = 0; i < 8; ++i) {
      static_cast<void>(!::send(stuck.back().first.fd(), bytes.data(), bytes.size(),
                                MSG_DONTWAIT | MSG_NOSIGNAL));
    }
  }
  expect_others_undisturbed();
}

TEST_F(CarrierAttackTest, ASlowWriterHoldsNobodyUp) {
  start();
  auto [low, high] = joined(1, 2);
  for (int i = 0; i < 20; ++i) {
    low.send("x");
    EXPECT_EQ(high.receive(1), "x");
    if (i % 5 == 0) expect_others_undisturbed();
  }
}

TEST_F(CarrierAttackTest, AFloodOfBytesHoldsNobodyUp) {
  start();
  std::vector<std::pair<Client, Client>> greedy;
  for (std::uint8_t path = 0; path < 4; ++path) greedy.push_back(joined(1, 2, path));
  std::atomic<bool> is_over = false;
  std::vector<std::thread> threads;
  for (auto& stream : greedy) {
    threads.emplace_back([&] {
      const std::string bytes(1 << 20, 'x');
      while (!is_over && stream.first.send(bytes)) {
      }
      stream.first.end();
    });
    threads.emplace_back([&] {
      while (!stream.second.receive(1 << 20).empty()) {
      }
    });
  }
  for (int i = 0; i < 3; ++i) expect_others_undisturbed();
  is_over = true;
  for (std::thread& thread : threads) thread.join();
}

TEST_F(CarrierAttackTest, NobodyEvadesTheQuotaByRolesRunsOrConnections) {
  start({.peers = {.connections_per_peer = 3}});
  std::vector<Client> held;
  for (std::uint8_t i = 0; i < 3; ++i) {
    Seat seat = seat_of(1, 2, i, i);
    seat.pairing.low.role = fmt::format("role-{}", i);
    held.push_back(arrived(seat));
  }
  ASSERT_TRUE(comes_true([&] { return carrier_->totals().waiting == 3; }));
  Client fourth = arrived(seat_of(1, 7));
  EXPECT_EQ(fourth.answer(), SocksReply::failure);
  EXPECT_TRUE(fourth.is_ended());
  expect_others_undisturbed();
}

TEST_F(CarrierAttackTest, AFloodOfConnectionsKeepsNobodyOut) {
  start();
  for (int i = 0; i < 2000; ++i) {
    client(kAttacker).reset_on_close();
    if (i % 500 == 0) expect_others_undisturbed();
  }
  expect_others_undisturbed();
  EXPECT_TRUE(comes_true([&] { return carrier_->totals().handshakes == 0; }));
}

TEST_F(CarrierAttackTest, ResetsAtAnyMomentHarmNobody) {
  start();
  const std::string bytes = kGreeting + connect_request(token(seat_of(1, 2)));
  for (std::size_t length = 0; length <= bytes.size(); ++length) {
    Client attacker = client(kAttacker);
    attacker.send(bytes.substr(0, length));
    attacker.reset_on_close();
  }
  auto [low, high] = joined(1, 2);
  low.reset_on_close();
  high.send(std::string(1000, 'x'));
  low.close();
  EXPECT_TRUE(high.is_ended());
  EXPECT_TRUE(comes_true([&] { return carrier_->totals().streams == 0; }));
  expect_others_undisturbed();
}

TEST_F(CarrierAttackTest, MembersOfTwoRunsAreNeverJoined) {
  start();
  Client low = arrived(seat_of(1, 2, 0, 1));
  Client high = arrived(seat_of(2, 1, 0, 9));
  ASSERT_TRUE(comes_true([&] { return carrier_->totals().waiting == 2; }));
  EXPECT_EQ(carrier_->totals().joined, 0u);
  expect_others_undisturbed();
}

TEST_F(CarrierAttackTest, AMemberWhoseLeaseEndedHasNoUseOfItsTokens) {
  start();
  auto [low, high] = joined(1, 2);
  const std::string kept = token(seat_of(1, 2));
  desk_.revoke(run_of(1), place_of(1));
  EXPECT_TRUE(low.is_ended());
  EXPECT_EQ(answer_to(connect_request(kept)), SocksReply::host_unreachable);
  expect_others_undisturbed();
}

// The process has no descriptor left to open, until the end of the object.
class NoFiles {
 public:
  NoFiles() {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    os::FileDescriptor next(::dup(STDERR_FILENO));  // the lowest that is free
    const rlimit few{.rlim_cur = static_cast<rlim_t>(next.get()), .rlim_max = before_.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &few);
  }
  ~NoFiles() { ::setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
};

TEST_F(CarrierAttackTest, AProcessWithoutDescriptorsGoesOnAndRecovers) {
  start();
  auto [low, high] = joined(1, 2);
  {
    std::vector<Client> attackers;
    for (int i = 0; i < 20; ++i) attackers.emplace_back(kAttacker);
    const NoFiles none;
    for (Client& attacker : attackers) attacker.connect(carrier_->port());
    expect_carries(low, high);
    ASSERT_TRUE(comes_true([&] { return carrier_->totals().out_of_files > 0; }));
    expect_carries(low, high);
  }
  expect_others_undisturbed();
}

}  // namespace
}  // namespace ptrain::relay
