// What strangers and members can try at the control port, over real sockets: it is refused,
// the relay lives, and a user who has nothing to do with it notices nothing.

#include <cstring>

#include <capnp/message.h>
#include <capnp/serialize.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include "libcommon/net/zmq/socket_monitor.h"
#include "schemas/relay.capnp.h"
#include "tests/net/raw_curve_client.h"
#include "tests/unit/relay/running_relay.h"

namespace ptrain::relay {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
namespace request = net::request;
namespace answer = net::answer;

// A relay with a user, who must be served as ever after each attack.
class ControlAttack : public testing::Test {
 public:
  explicit ControlAttack(RunningOptions options = {}) : relay(std::move(options)) {
    user.join(run, "stage-0");
    friend_.join(run, "stage-1");
  }

 protected:
  void TearDown() override {
    user.ask_for<answer::Granted>(request::Renew{run.as("stage-0")});
    const auto found = user.ask_for<answer::Found>(request::LookUp{run.as("stage-0"), "stage-1"});
    EXPECT_EQ(found.records.size(), 1u);
    const auto introduced = user.ask_for<answer::Introduced>(
        request::Introduce{run.as("stage-0"), friend_.place("stage-1"), 1});
    EXPECT_EQ(introduced.tokens.size(), 1u);
    EXPECT_EQ(friend_.push_of<answer::Introduced>().record, run.record(user.key(), "stage-0"));
  }

  RunningRelay relay;
  TestRun run{1};
  RelayClient user{relay.endpoint(), {.source = "127.0.0.2"}};
  RelayClient friend_{relay.endpoint(), {.source = "127.0.0.3"}};
  RelayClient attacker{relay.endpoint(), {.source = "127.0.0.9"}};
  TestRun own{9};  // a run of the attacker's own
};

std::vector<std::byte> bytes_of(capnp::MallocMessageBuilder& message) {
  const auto words = capnp::messageToFlatArray(message);
  const auto bytes = std::as_bytes(std::span(words.begin(), words.size()));
  return {bytes.begin(), bytes.end()};
}

os::FileDescriptor raw_connection(const net::Endpoint& to) {
  os::FileDescriptor fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(to.port);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    throw std::runtime_error("connect");
  }
  return fd;
}

// Whether the other side has ended the connection within kAnswerPatience; what it sends is dropped.
bool is_ended(const os::FileDescriptor& fd) {
  char buffer[4096];
  pollfd waiting{.fd = fd.get(), .events = POLLIN, .revents = 0};
  while (::poll(&waiting, 1, static_cast<int>(kAnswerPatience.count())) == 1) {
    if (::recv(fd.get(), buffer, sizeof buffer, MSG_DONTWAIT) <= 0) return true;
  }
  return false;
}

bool sees_the_end(net::SocketMonitor& monitor,
                  std::chrono::milliseconds timeout = kAnswerPatience) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  do {
    while (const auto event = monitor.next()) {
      if (event->kind == net::SocketMonitor::Kind::closed) return true;
    }
    std::this_thread::sleep_for(5ms);
  } while (std::chrono::steady_clock::now() < deadline);
  return false;
}

net::Endpoint bare(net::Endpoint endpoint) {
  endpoint.key.reset();
  return endpoint;
}

// ---- Who one is.

TEST_F(ControlAttack, AnotherPeersRecordCannotBeRegistered) {
  EXPECT_EQ(attacker.refusal(request::Register{run.record(user.key(), "stage-0", 2)}),
            net::Refusal::forged);
}

TEST_F(ControlAttack, ARecordOfARunNeedsTheRunsSignature) {
  net::SignedRecord record = own.record(attacker.key(), "stage-2");
  EXPECT_EQ(attacker.refusal(
                request::Register{own.signed_by_members(run.opened(attacker.key(), "stage-2"))}),
            net::Refusal::forged);
  record.record.back() ^= std::byte{1};
  EXPECT_EQ(attacker.refusal(request::Register{record}), net::Refusal::forged);
}

TEST_F(ControlAttack, AnOldRecordDoesNotReplaceANewOne) {
  attacker.join(own, "stage-0", 5);
  EXPECT_EQ(attacker.refusal(request::Register{own.record(attacker.key(), "stage-0", 4)}),
            net::Refusal::outdated);
}

TEST_F(ControlAttack, NobodyActsAsAnother) {
  attacker.join(own, "stage-0");
  for (const char* role : {"stage-0", "stage-1"}) {
    EXPECT_EQ(attacker.refusal(request::Renew{run.as(role)}), net::Refusal::not_a_member);
    EXPECT_EQ(attacker.refusal(request::Leave{run.as(role)}), net::Refusal::not_a_member);
    EXPECT_EQ(attacker.refusal(request::Watch{run.as(role)}), net::Refusal::not_a_member);
  }
}

TEST_F(ControlAttack, AMemberOfOneRunDoesNotReadAnothers) {
  attacker.join(own, "stage-0");
  EXPECT_EQ(attacker.refusal(request::LookUp{run.as("stage-0")}), net::Refusal::not_a_member);
  EXPECT_EQ(attacker.refusal(request::Introduce{own.as("stage-0"), user.place("stage-0"), 1}),
            net::Refusal::unknown_peer);
  EXPECT_EQ(attacker.ask_for<answer::Found>(request::LookUp{own.as("stage-0")}).records.size(), 1u);
  EXPECT_EQ(attacker.refusal(request::Survey{}), net::Refusal::not_allowed);
}

TEST_F(ControlAttack, AReplayedIntroductionIsRefused) {
  // The very bytes that a member sent, from someone else's connection.
  const net::Request copied{
      .id = 77, .body = request::Introduce{run.as("stage-0"), friend_.place("stage-1"), 1}};
  attacker.send_parts({net::encode(copied)});
  const auto told = attacker.receive(kAnswerPatience);
  ASSERT_TRUE(told);
  EXPECT_EQ(std::get<answer::Refused>(told->body).reason, net::Refusal::not_a_member);
  EXPECT_FALSE(friend_.push(0ms));
}

TEST_F(ControlAttack, ADeclaredRoutingIdIsRefused) {
  RelayClient first(relay.endpoint(), {.routing_id = "stage-0"});
  first.send(request::Register{own.record(first.key(), "a")});
  EXPECT_THAT(std::get<answer::Refused>(first.receive(kAnswerPatience)->body).text,
              HasSubstr("routing id"));
  // One that is taken gets nothing at all: libzmq ignores the connection.
  RelayClient second(relay.endpoint(), {.routing_id = "stage-0"});
  second.send(request::Register{own.record(second.key(), "a")});
  EXPECT_FALSE(second.receive(300ms));
}

TEST_F(ControlAttack, ARoutingIdLikeTheRelaysOwnIsNobodyElse) {
  // Five bytes that begin with a zero, as libzmq makes them: many guesses at somebody's.
  for (char guess = 1; guess < 60; ++guess) {
    RelayClient client(relay.endpoint(), {.routing_id = std::string("\0\0\0\0", 4) + guess});
    EXPECT_EQ(client.refusal(request::Renew{run.as("stage-0")}), net::Refusal::not_a_member);
  }
}

// ---- What one sends.

TEST_F(ControlAttack, AnOversizedRequestEndsItsConnection) {
  net::SocketMonitor monitor(attacker.context, attacker.socket);
  attacker.send_parts({std::vector<std::byte>(net::kMaxRequestBytes)});
  EXPECT_EQ(std::get<answer::Refused>(attacker.receive(kAnswerPatience)->body).reason,
            net::Refusal::malformed);
  attacker.send_parts({std::vector<std::byte>(net::kMaxRequestBytes + 4096)});
  EXPECT_TRUE(sees_the_end(monitor));
}

TEST_F(ControlAttack, ARequestOfManyPartsIsRefused) {
  attacker.send_parts(std::vector<std::vector<std::byte>>(50, std::vector<std::byte>(100)));
  EXPECT_THAT(std::get<answer::Refused>(attacker.receive(kAnswerPatience)->body).text,
              HasSubstr("one part"));
  attacker.send_parts({{}});
  EXPECT_EQ(std::get<answer::Refused>(attacker.receive(kAnswerPatience)->body).reason,
            net::Refusal::malformed);
}

TEST_F(ControlAttack, NoiseIsRefused) {
  for (std::size_t size = 8; size <= 2048; size *= 2) {
    std::vector<std::byte> noise(size);
    SystemRandom().fill(noise);
    attacker.send_parts({noise});
    EXPECT_EQ(std::get<answer::Refused>(attacker.receive(kAnswerPatience)->body).reason,
              net::Refusal::malformed);
  }
}

TEST_F(ControlAttack, ACapnProtoBombIsRefused) {
  // A list of 2^29 - 1 structs without size, one text that all of them could share, and a
  // message whose segment table promises what is not there.
  std::vector<std::vector<std::byte>> bombs;
  capnp::MallocMessageBuilder empty;
  auto root = empty.initRoot<schema::Request>();
  root.setMagic(net::kRelayMagic);
  auto bytes = bytes_of(empty);
  for (std::size_t word = 8; word + 8 <= bytes.size(); word += 8) {
    auto bomb = bytes;
    const std::uint64_t list = 1 | (std::uint64_t{7} << 32) | (std::uint64_t{(1u << 29) - 1} << 35);
    std::memcpy(bomb.data() + word, &list, sizeof list);
    bombs.push_back(bomb);
  }
  auto segments = bytes;
  const std::uint32_t many = 0x7fffffff;
  std::memcpy(segments.data(), &many, sizeof many);
  bombs.push_back(segments);
  for (const auto& bomb : bombs) {
    attacker.send_parts({bomb});
    EXPECT_EQ(std::get<answer::Refused>(attacker.receive(kAnswerPatience)->body).reason,
              net::Refusal::malformed);
  }
}

TEST_F(ControlAttack, ANoteThatTakesMuchRoomToWriteHurtsNobody) {
  attacker.join(own, "stage-0");
  for (const char c : {'\1', '\xff', '"', 'x'}) {
    attacker.ask_for<answer::Granted>(
        request::Renew{own.as("stage-0"), std::string(net::kMaxNoteChars, c)});
    RelayClient chief(relay.endpoint(), {.key = relay.key()});
    EXPECT_EQ(chief.ask_for<answer::Surveyed>(request::Survey{}).lines.size(), 3u);
  }
}

TEST_F(ControlAttack, TooManyCandidatesAreRefused) {
  attacker.join(own, "stage-0");
  EXPECT_NO_THROW(attacker.ask_for<answer::Granted>(
      request::Register{own.record(attacker.key(), "stage-0", 2, net::kMaxCandidates)}));
  EXPECT_EQ(attacker.refusal(request::Register{
                own.record(attacker.key(), "stage-0", 3, net::kMaxCandidates + 1)}),
            net::Refusal::forged);
}

// ---- How much one sends.

TEST_F(ControlAttack, AFloodOfRecordsIsSlowedDown) {
  attacker.join(own, "stage-0");
  for (std::uint64_t i = 2; i < 2000; ++i) {
    const auto told = attacker.ask(request::Register{own.record(attacker.key(), "stage-0", i)});
    if (const auto* refused = std::get_if<answer::Refused>(&told.body)) {
      EXPECT_EQ(refused->reason, net::Refusal::busy);
      EXPECT_GT(refused->retry_ms, 0u);
      return;
    }
  }
  FAIL() << "2000 records were taken";
}

TEST_F(ControlAttack, AFloodOfIntroductionsIsSlowedDown) {
  attacker.join(run, "stage-2");
  int introductions = 0;
  while (std::holds_alternative<answer::Introduced>(
      attacker
          .ask(request::Introduce{run.as("stage-2"), user.place("stage-0"),
                                  net::kMaxPathsPerIntroduction})
          .body)) {
    ASSERT_LT(++introductions, 2000);
  }
  for (int i = 0; i < introductions; ++i) user.push_of<answer::Introduced>();
}

TEST_F(ControlAttack, AFloodOfRequestsEndsTheConnection) {
  attacker.join(own, "stage-0");
  net::SocketMonitor monitor(attacker.context, attacker.socket);
  const auto flood = net::encode({.id = 1, .body = request::Renew{own.as("stage-0")}});
  bool ended = false;
  for (int round = 0; round < 200 && !ended; ++round) {
    for (int i = 0; i < 500; ++i) attacker.send_parts({flood});
    ended = sees_the_end(monitor, 100ms);
  }
  EXPECT_TRUE(ended);
}

TEST_F(ControlAttack, OneKeyHoldsOnlySoManyRoles) {
  for (std::size_t i = 0; i < kMaxPlacesPerKey; ++i) {
    attacker.join(own, "r" + std::to_string(i));
  }
  EXPECT_EQ(attacker.refusal(request::Register{own.record(attacker.key(), "one-more")}),
            net::Refusal::full);
}

class SmallRelay : public ControlAttack {
 public:
  SmallRelay()
      : ControlAttack({.limits = {.members_per_host = 20},
                       .connections = {.strangers = 100,
                                       .strangers_per_address = 50,
                                       .first_request = 6s,
                                       .arrivals = {.burst = 5000}}}) {}
};

TEST_F(SmallRelay, OneAddressHoldsOnlySoManyLeasesWhateverItsKeys) {
  std::size_t taken = 0;
  std::vector<std::unique_ptr<RelayClient>> clients;
  while (true) {
    clients.push_back(
        std::make_unique<RelayClient>(relay.endpoint(), ClientOptions{.source = "127.0.0.9"}));
    const auto told =
        clients.back()->ask(request::Register{own.record(clients.back()->key(), "stage-0")});
    if (const auto* refused = std::get_if<answer::Refused>(&told.body)) {
      EXPECT_EQ(refused->reason, net::Refusal::full);
      break;
    }
    ASSERT_LE(++taken, 20u);
  }
  EXPECT_EQ(taken, 20u);
  RelayClient elsewhere(relay.endpoint(), {.source = "127.0.0.10"});
  elsewhere.join(own, "stage-0");
}

class SlowlyEnteredRelay : public ControlAttack {
 public:
  SlowlyEnteredRelay()
      : ControlAttack({.connections = {.wait = 20s, .arrivals = {.burst = 1, .per_s = 2}}}) {}
};

TEST_F(SlowlyEnteredRelay, WhoComesTooOftenWaitsItsTurn) {
  const auto begin = std::chrono::steady_clock::now();
  std::vector<std::unique_ptr<RelayClient>> clients;
  std::vector<std::unique_ptr<net::SocketMonitor>> monitors;
  for (int i = 0; i < 3; ++i) {
    clients.push_back(
        std::make_unique<RelayClient>(relay.endpoint(), ClientOptions{.source = "127.0.0.8"}));
    monitors.push_back(
        std::make_unique<net::SocketMonitor>(clients.back()->context, clients.back()->socket));
  }
  for (auto& client : clients) client->join(own, "stage-0");
  EXPECT_GE(std::chrono::steady_clock::now() - begin, 900ms);
  for (auto& monitor : monitors) EXPECT_FALSE(sees_the_end(*monitor, 0ms));
}

class RelayEnteredOnce : public ControlAttack {
 public:
  RelayEnteredOnce()
      : ControlAttack(
            {.connections = {
                 .waiting_per_address = 3, .wait = 1s, .arrivals = {.burst = 1, .per_s = 1e-6}}}) {}
};

TEST_F(RelayEnteredOnce, WhoWaitsGivesWayToWhoComesLaterAndWaitsNotForLong) {
  const auto first = raw_connection(relay.endpoint());
  std::this_thread::sleep_for(100ms);
  const auto begin = std::chrono::steady_clock::now();
  std::vector<os::FileDescriptor> waiting;
  for (int i = 0; i < 40; ++i) waiting.push_back(raw_connection(relay.endpoint()));
  EXPECT_TRUE(is_ended(waiting.front()));
  RelayClient elsewhere(relay.endpoint(), {.source = "127.0.0.10"});
  elsewhere.join(own, "stage-0");
  for (const auto& connection : waiting) EXPECT_TRUE(is_ended(connection));
  EXPECT_GE(std::chrono::steady_clock::now() - begin, 1s) << "the last ones waited";
  EXPECT_LT(std::chrono::steady_clock::now() - begin, kHandshakeLimit);
}

// Nobody is ended for saying nothing.
class PatientRelay : public ControlAttack {
 public:
  PatientRelay() : ControlAttack({.connections = {.first_request = 1h, .useful_request = 1h}}) {}

 protected:
  // libzmq sends no part before the last one is there.
  RawCurveClient gusher{raw_connection(relay.endpoint()), *relay.endpoint().key};

  // It sends 2 MB a second.
  bool is_ended_by_a_message_without_an_end() {
    const std::string part(4096, '\0');
    for (int sent = 0; sent < 15000; ++sent) {
      if (!gusher.send_part(part)) return true;
      std::this_thread::sleep_for(2ms);
    }
    return false;
  }
};

TEST_F(PatientRelay, AMessageWithoutAnEndEndsItsConnection) {
  EXPECT_TRUE(is_ended_by_a_message_without_an_end());
}

// The relay asks the kernel about members of whom it hears something, and of nobody else.
TEST_F(PatientRelay, SoDoesOneOfAMemberThatWasQuietForAWhile) {
  const auto bytes =
      net::encode({.id = 1, .body = request::Register{own.record(gusher.key(), "stage-0")}});
  ASSERT_TRUE(gusher.send_whole({reinterpret_cast<const char*>(bytes.data()), bytes.size()}));
  attacker.join(own, "stage-1");
  const auto is_registered = [&] {
    return attacker.ask_for<answer::Found>(request::LookUp{own.as("stage-1"), "stage-0"})
               .records.size() == 1;
  };
  for (int i = 0; i < 1000 && !is_registered(); ++i) std::this_thread::sleep_for(10ms);
  ASSERT_TRUE(is_registered());
  std::this_thread::sleep_for(4 * kConnectionCheck);
  EXPECT_TRUE(is_ended_by_a_message_without_an_end());
}

TEST_F(SmallRelay, HalfOpenConnectionsByTheThousandPushEachOtherOut) {
  std::vector<os::FileDescriptor> open;
  for (int i = 0; i < 1200; ++i) {
    open.push_back(raw_connection(relay.endpoint()));
    if (open.size() < 300) continue;
    EXPECT_TRUE(is_ended(open.front())) << i;
    open.erase(open.begin());
  }
  RelayClient late(relay.endpoint(), {.source = "127.0.0.4"});
  late.join(own, "stage-0");
}

TEST_F(SmallRelay, AHandshakeThatStopsHalfwayIsEnded) {
  const auto fd = raw_connection(relay.endpoint());
  // The greeting of ZMTP 3.1 with CURVE, and then nothing.
  std::string greeting(64, '\0');
  greeting.replace(0, 12, std::string("\xff\0\0\0\0\0\0\0\1\x7f\3\1", 12));
  greeting.replace(12, 5, "CURVE");
  ASSERT_EQ(::send(fd.get(), greeting.data(), greeting.size(), MSG_NOSIGNAL),
            static_cast<ssize_t>(greeting.size()));
  EXPECT_TRUE(is_ended(fd));
}

TEST_F(SmallRelay, WhoShakesHandsAndSaysNothingIsEnded) {
  RelayClient silent(relay.endpoint());
  net::SocketMonitor monitor(silent.context, silent.socket);
  EXPECT_TRUE(sees_the_end(monitor));
}

TEST_F(ControlAttack, WhatIsNoZeroMqIsEnded) {
  for (const std::string text : {"GET / HTTP/1.1\r\n\r\n", "SSH-2.0-x\r\n", "\x05\x01\x00"}) {
    const auto fd = raw_connection(relay.endpoint());
    const std::string padded = text + std::string(64, 'x');
    ASSERT_GT(::send(fd.get(), padded.data(), padded.size(), MSG_NOSIGNAL), 0);
    EXPECT_TRUE(is_ended(fd));
  }
}

TEST_F(ControlAttack, WithoutCurveThereIsNoAnswer) {
  zmq::context_t context;
  zmq::socket_t plain(context, zmq::socket_type::dealer);
  plain.set(zmq::sockopt::linger, 0);
  plain.set(zmq::sockopt::rcvtimeo, 500);
  plain.connect(zmq_address(bare(relay.endpoint())));
  plain.send(zmq::str_buffer("hello"), zmq::send_flags::none);
  zmq::message_t message;
  EXPECT_FALSE(plain.recv(message));
}

TEST_F(ControlAttack, ASlowReaderHoldsUpNobody) {
  attacker.join(own, "stage-0");
  attacker.ask_for<answer::Granted>(request::Watch{own.as("stage-0")});
  // It asks for large answers and reads none of them; the user's requests go through meanwhile.
  for (int i = 0; i < 2000; ++i) attacker.send(request::LookUp{own.as("stage-0")});
  for (int i = 0; i < 20; ++i) {
    user.ask_for<answer::Found>(request::LookUp{run.as("stage-0")});
  }
}

// ---- What issuers say, and what is said in their name.

TEST_F(ControlAttack, AnExpiredTicketIsRefusedAndALivingMemberStays) {
  const auto with = [&](std::uint64_t sequence, net::WallTime expires) {
    net::PeerRecord record = own.opened(attacker.key(), "stage-0", sequence);
    record.grant = own.granted_until(expires);
    return request::Register{own.signed_by_members(record)};
  };
  const net::WallTime past = net::wall_now() - 1s;
  const auto refused = attacker.ask_for<answer::Refused>(with(1, past));
  EXPECT_EQ(refused.reason, net::Refusal::expired);
  EXPECT_THAT(refused.text, HasSubstr("ticket renew"));
  attacker.ask_for<answer::Granted>(with(2, net::wall_now() + 1h));
  // Its ticket ends while it is there: what it says anew is taken, and its lease goes on.
  attacker.ask_for<answer::Granted>(with(3, past));
  attacker.ask_for<answer::Granted>(request::Renew{own.as("stage-0")});
  attacker.ask_for<answer::Left>(request::Leave{own.as("stage-0")});
  EXPECT_EQ(attacker.refusal(with(4, past)), net::Refusal::expired);
}

TEST_F(ControlAttack, AHolderOfATicketCannotWriteADateOfItsOwn) {
  net::PeerRecord record = run.opened(attacker.key(), "stage-2");
  record.grant.expires += std::chrono::hours(24 * 365);
  EXPECT_EQ(attacker.refusal(request::Register{run.signed_by_members(record)}),
            net::Refusal::forged);
  record.grant =
      net::make_grant(run.secret.member_key(), record.grant.member_key, record.grant.expires);
  EXPECT_EQ(attacker.refusal(request::Register{run.signed_by_members(record)}),
            net::Refusal::forged);
}

TEST_F(ControlAttack, WhoIsRevokedIsGoneAndTheOthersAreTold) {
  attacker.join(run, "stage-2");
  user.ask_for<answer::Granted>(request::Watch{run.as("stage-0")});
  RelayClient issuer(relay.endpoint(), {.source = "127.0.0.4"});
  const net::Revocation revocation = run.revocation(attacker.key());
  EXPECT_EQ(issuer.ask_for<answer::Revoked>(request::Revoke{revocation}).revocation, revocation);
  EXPECT_EQ(user.push_of<answer::Departed>().who, attacker.place("stage-2"));
  EXPECT_EQ(user.push_of<answer::Revoked>().revocation, revocation);
  EXPECT_EQ(attacker.refusal(request::Renew{run.as("stage-2")}), net::Refusal::not_a_member);
  EXPECT_EQ(attacker.refusal(request::Register{run.record(attacker.key(), "stage-2", 9)}),
            net::Refusal::revoked);
}

TEST_F(ControlAttack, NobodyButTheIssuerCanRevoke) {
  attacker.join(run, "stage-2");
  net::Revocation forged = own.revocation(user.key());
  forged.run_key = run.key();
  EXPECT_EQ(attacker.refusal(request::Revoke{forged}), net::Refusal::forged);
  forged = net::make_revocation(run.secret.member_key(), user.key());
  forged.run_key = run.key();
  EXPECT_EQ(attacker.refusal(request::Revoke{forged}), net::Refusal::forged);
  EXPECT_EQ(attacker.refusal(request::Revoke{TestRun(200).revocation(user.key())}),
            net::Refusal::not_a_member)
      << "a run that nobody is in";
}

TEST_F(ControlAttack, AClaimIsItsHoldersUntilItLeaves) {
  attacker.join(run, "stage-2");
  const auto claim = [&](RelayClient& by, const std::string& role, std::uint64_t number) {
    return by.ask_for<answer::Claimed>(request::Claim{run.as(role), "driver", number, 20000});
  };
  const auto granted = claim(user, "stage-0", 0);
  EXPECT_TRUE(granted.granted);
  const auto refused = claim(attacker, "stage-2", granted.number + 1);
  EXPECT_FALSE(refused.granted);
  EXPECT_EQ(refused.holder, user.place("stage-0"));
  EXPECT_GT(refused.hold_ms, 0u);
  EXPECT_EQ(attacker.refusal(request::Claim{run.as("stage-0"), "driver", 0, 20000}),
            net::Refusal::not_a_member)
      << "nobody claims as another";
  EXPECT_EQ(attacker.refusal(request::Claim{run.as("stage-2"), "driver", UINT64_MAX, 20000}),
            net::Refusal::malformed)
      << "nobody uses up the numbers";
  // Whoever leaves holds nothing; who was only not heard of may still act as a holder.
  user.ask_for<answer::Left>(request::Leave{run.as("stage-0")});
  EXPECT_EQ(claim(attacker, "stage-2", 0).number, granted.number + 1);
  user.join(run, "stage-0");
}

// ---- Other versions.

TEST_F(ControlAttack, WhoSpeaksAnotherVersionIsToldSoInItsOwn) {
  auto bytes = net::encode({.id = 77, .body = request::Renew{run.as("stage-0")}});
  // After the word that says how long the message is, and the pointer to the struct.
  constexpr std::size_t kVersionAt = 16 + 4;
  ASSERT_EQ(bytes[kVersionAt], std::byte{net::kRelayProtocolVersion});
  bytes[kVersionAt] = std::byte{1};
  attacker.send_parts({bytes});
  attacker.socket.set(zmq::sockopt::rcvtimeo, static_cast<int>(kAnswerPatience.count()));
  zmq::message_t message;
  ASSERT_TRUE(attacker.socket.recv(message));
  std::vector<capnp::word> words(message.size() / sizeof(capnp::word));
  std::memcpy(words.data(), message.data(), message.size());
  capnp::FlatArrayMessageReader reader(kj::arrayPtr(words.data(), words.size()));
  const auto told = reader.getRoot<schema::Answer>();
  EXPECT_EQ(told.getVersion(), 1);
  EXPECT_EQ(told.getId(), 77u);
  ASSERT_EQ(told.which(), schema::Answer::REFUSED);
  EXPECT_THAT(told.getRefused().getText().cStr(), HasSubstr("version 1, this relay's 2"));
  // And an answer of another version is a refusal with both, for a member of ours.
  const auto read =
      net::decode_answer({static_cast<const std::byte*>(message.data()), message.size()});
  const auto& refused = std::get<answer::Refused>(std::get<net::Answer>(read).body);
  EXPECT_EQ(refused.reason, net::Refusal::version);
  EXPECT_THAT(refused.text, HasSubstr("version 1, ours is 2"));
}

}  // namespace
}  // namespace ptrain::relay
