// Routers of every class, as a simulation, and what the survey finds of them.

#include "libcommon/probe/nat_survey.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace ptrain::probe {
namespace {

using std::chrono::milliseconds;

net::AddressBytes host(const std::string& text) { return *net::parse_address(text); }

class CountingRandom final : public RandomSource {
 public:
  void fill(std::span<std::byte> bytes) override {
    ++count_;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      bytes[i] = static_cast<std::byte>(i < 4 ? count_ >> (8 * i) : 0);
    }
  }

 private:
  std::uint32_t count_ = 0;
};

struct Router {
  bool nat = true;
  bool udp = true;
  enum class Keeps { all, address, address_and_port } maps_by = Keeps::all;
  std::optional<Keeps> filters_by = Keeps::address_and_port;  // all: nobody gets in; none: all do
  bool hairpin = false;
  bool keeps_port = true;
};

// Two or fewer relays beyond a router, and a host with three sockets behind it.
class World {
 public:
  World(Router router, std::size_t relays, milliseconds one_way = milliseconds(10))
      : router_(router), one_way_(one_way) {
    for (std::size_t i = 0; i < relays; ++i) {
      servers_.push_back({host("11.0.0." + std::to_string(11 + i)), {7102, 7103}});
    }
  }
  World& old_relays() {
    old_ = true;
    return *this;
  }
  World& lose_every(int nth) {
    lose_every_ = nth;
    return *this;
  }

  // How long it took.
  Duration run() {
    NatSurvey survey(servers_, inside(NatSocket::asker), random_);
    const TimePoint begun = now_;
    while (!survey.over()) {
      for (const NatDatagram& datagram : survey.due(now_)) send(datagram);
      if (survey.over()) break;
      const TimePoint arrival = arrivals_.empty() ? TimePoint::max() : arrivals_.begin()->first;
      now_ = std::min(arrival, survey.next());
      EXPECT_LT(now_ - begun, std::chrono::seconds(10)) << "it does not end";
      if (arrival > now_) continue;
      const Arrival next = arrivals_.begin()->second;
      arrivals_.erase(arrivals_.begin());
      survey.received(next.at, next.from, next.bytes, now_);
    }
    findings_ = survey.findings();
    return now_ - begun;
  }
  NatFindings findings_;
  NatVerdict verdict() {
    run();
    return verdict_of(findings_);
  }
  std::size_t sent_to(std::size_t relay) const {
    const auto found = received_.find(servers_[relay].host);
    return found == received_.end() ? 0 : found->second;
  }

 private:
  struct Arrival {
    NatSocket at;
    SocketAddress from;
    std::vector<std::uint8_t> bytes;
  };
  struct Mapped {
    NatSocket inside;
    SocketAddress outside;
    SocketAddress to;  // as far as the mapping depends on it
    std::set<SocketAddress> contacted;
  };

  SocketAddress inside(NatSocket socket) const {
    return {router_.nat ? host("192.168.1.2") : host("11.0.0.101"),
            static_cast<std::uint16_t>(6000 + static_cast<int>(socket))};
  }

  static SocketAddress as_far_as(Router::Keeps keeps, SocketAddress address) {
    if (keeps == Router::Keeps::all) return {};
    if (keeps == Router::Keeps::address) address.port = 0;
    return address;
  }

  Mapped& mapping(NatSocket socket, const SocketAddress& to) {
    const SocketAddress key = as_far_as(router_.maps_by, to);
    for (Mapped& each : mappings_) {
      if (each.inside == socket && each.to == key) return each;
    }
    SocketAddress outside = inside(socket);
    if (router_.nat) {
      outside.host = host("11.0.0.101");
      if (!router_.keeps_port || router_.maps_by != Router::Keeps::all) outside.port = ++ports_;
    }
    return mappings_.emplace_back(Mapped{socket, outside, key, {}});
  }

  bool lets_in(const Mapped& mapped, const SocketAddress& from) const {
    if (!router_.filters_by) return true;
    return std::ranges::any_of(mapped.contacted, [&](const SocketAddress& each) {
      return as_far_as(*router_.filters_by, each) == as_far_as(*router_.filters_by, from);
    });
  }

  bool lost() { return lose_every_ > 0 && ++count_ % lose_every_ == 0; }

  void send(const NatDatagram& datagram) {
    if (!router_.udp || lost()) return;
    Mapped& mapped = mapping(datagram.from, datagram.to);
    mapped.contacted.insert(datagram.to);
    const SocketAddress seen = mapped.outside;
    for (const EchoServer& server : servers_) {
      if (server.host == datagram.to.host) return answer(server, datagram, seen);
    }
    if (router_.hairpin) deliver(seen, datagram.to, {datagram.bytes.begin(), datagram.bytes.end()});
  }

  void answer(const EchoServer& server, const NatDatagram& datagram, const SocketAddress& seen) {
    ++received_[server.host];
    const auto how = static_cast<EchoQuestion::Answer>(datagram.bytes[16]);
    SocketAddress from = datagram.to;
    SocketAddress to = seen;
    if (how != EchoQuestion::Answer::straight && old_) return;
    if (how == EchoQuestion::Answer::from_other_port) {
      from.port = from.port == server.ports[0] ? server.ports[1] : server.ports[0];
    } else if (how == EchoQuestion::Answer::to_other_port) {
      to.port = static_cast<std::uint16_t>(datagram.bytes[17] << 8 | datagram.bytes[18]);
    }
    std::vector<std::uint8_t> bytes(kEchoAnswerBytes);
    const std::string magic = "ptrecho!";
    std::copy(magic.begin(), magic.end(), bytes.begin());
    std::copy_n(datagram.bytes.begin() + 8, 8, bytes.begin() + 8);
    bytes[16] = 4;
    bytes[18] = static_cast<std::uint8_t>(seen.port >> 8);
    bytes[19] = static_cast<std::uint8_t>(seen.port & 0xff);
    std::copy_n(seen.host.begin() + 12, 4, bytes.begin() + 20);
    deliver(from, to, std::move(bytes));
  }

  void deliver(const SocketAddress& from, const SocketAddress& to,
               std::vector<std::uint8_t> bytes) {
    if (lost()) return;
    for (const Mapped& each : mappings_) {
      const bool hairpin = from.host == each.outside.host;
      if (each.outside != to || !(hairpin || lets_in(each, from))) continue;
      arrivals_.emplace(now_ + 2 * one_way_, Arrival{each.inside, from, std::move(bytes)});
      return;
    }
  }

  Router router_;
  milliseconds one_way_;
  bool old_ = false;
  int lose_every_ = 0;
  int count_ = 0;
  std::uint16_t ports_ = 20000;
  CountingRandom random_;
  TimePoint now_{std::chrono::seconds(100)};
  std::vector<EchoServer> servers_;
  std::vector<Mapped> mappings_;
  std::map<net::AddressBytes, std::size_t> received_;
  std::multimap<TimePoint, Arrival> arrivals_;
};

using Keeps = Router::Keeps;
const Router kOpen{.nat = false, .filters_by = std::nullopt};
const Router kFirewall{.nat = false};
const Router kFullCone{.filters_by = std::nullopt};
const Router kAddressRestricted{.filters_by = Keeps::address};
const Router kPortRestricted{};
const Router kSymmetric{.maps_by = Keeps::address_and_port};
const Router kSymmetricByAddress{.maps_by = Keeps::address};
const Router kNoUdp{.udp = false};

TEST(NatSurvey, WithTwoRelaysEveryClassIsFound) {
  EXPECT_EQ(World(kOpen, 2).verdict().nat_class, NatClass::open);
  EXPECT_EQ(World(kFirewall, 2).verdict().nat_class, NatClass::firewall);
  EXPECT_EQ(World(kFullCone, 2).verdict().nat_class, NatClass::full_cone);
  EXPECT_EQ(World(kAddressRestricted, 2).verdict().nat_class, NatClass::address_restricted);
  EXPECT_EQ(World(kPortRestricted, 2).verdict().nat_class, NatClass::port_restricted);
  EXPECT_EQ(World(kSymmetric, 2).verdict().nat_class, NatClass::symmetric);
  EXPECT_EQ(World(kSymmetricByAddress, 2).verdict().nat_class, NatClass::symmetric);
}

TEST(NatSurvey, WithOneRelayWhatItCannotTellApartIsCalledBoth) {
  EXPECT_EQ(World(kOpen, 1).verdict().nat_class, NatClass::open);
  EXPECT_EQ(World(kFullCone, 1).verdict().nat_class, NatClass::full_cone_or_address_restricted);
  EXPECT_EQ(World(kAddressRestricted, 1).verdict().nat_class,
            NatClass::full_cone_or_address_restricted);
  EXPECT_EQ(World(kPortRestricted, 1).verdict().nat_class, NatClass::port_restricted);
  EXPECT_EQ(World(kSymmetric, 1).verdict().nat_class, NatClass::symmetric);
  EXPECT_EQ(World(kPortRestricted, 1).verdict().mapping, Mapping::independent_or_address_dependent);
}

TEST(NatSurvey, MappingsAreCalledByWhatTheyDependOn) {
  EXPECT_EQ(World(kOpen, 2).verdict().mapping, Mapping::none);
  EXPECT_EQ(World(kFullCone, 2).verdict().mapping, Mapping::endpoint_independent);
  EXPECT_EQ(World(kSymmetricByAddress, 2).verdict().mapping, Mapping::address_dependent);
  EXPECT_EQ(World(kSymmetric, 2).verdict().mapping, Mapping::address_and_port_dependent);
}

TEST(NatSurvey, WhereOnlyTcpGetsOutUdpIsCalledBlocked) {
  World world(kNoUdp, 2);
  EXPECT_EQ(world.verdict().nat_class, NatClass::unknown);
  world.findings_.echoes[1].tcp_connect = milliseconds(20);
  EXPECT_EQ(verdict_of(world.findings_).nat_class, NatClass::blocked);
  EXPECT_EQ(verdict_of(world.findings_).nearest, 1u);
}

TEST(NatSurvey, AHairpinIsFoundWhereThereIsOneAndNotAskedForWithoutARouter) {
  Router router = kPortRestricted;
  World without(router, 1);
  without.run();
  EXPECT_EQ(without.findings_.hairpin, false);
  router.hairpin = true;
  World with(router, 1);
  with.run();
  EXPECT_EQ(with.findings_.hairpin, true);
  World open(kOpen, 1);
  open.run();
  EXPECT_EQ(open.findings_.hairpin, std::nullopt);
}

TEST(NatSurvey, AnOutsidePortThatIsNotTheInsideOneIsSaid) {
  Router router = kFullCone;
  EXPECT_FALSE(World(router, 2).verdict().other_port);
  router.keeps_port = false;
  const NatVerdict verdict = World(router, 2).verdict();
  EXPECT_TRUE(verdict.other_port);
  EXPECT_EQ(verdict.nat_class, NatClass::full_cone);
  EXPECT_EQ(to_string(*verdict.outside), "11.0.0.101:20001");
}

TEST(NatSurvey, RelaysThatCannotAnswerElsewhereSpoilNoClassButTheirOwnQuestions) {
  // Old ones answer straight only: whether another port gets in is not known to be, so it is taken
  // for the stricter.
  const NatVerdict verdict = World(kFullCone, 2).old_relays().verdict();
  EXPECT_EQ(verdict.mapping, Mapping::endpoint_independent);
  EXPECT_EQ(verdict.nat_class, NatClass::port_restricted);
}

TEST(NatSurvey, ADatagramThatIsLostIsSentAgain) {
  for (const int nth : {3, 4, 5, 7}) {
    EXPECT_EQ(World(kFullCone, 2).lose_every(nth).verdict().nat_class, NatClass::full_cone) << nth;
    EXPECT_EQ(World(kSymmetric, 2).lose_every(nth).verdict().nat_class, NatClass::symmetric) << nth;
  }
}

TEST(NatSurvey, ItsTimeIsBoundedAndSoIsWhatARelayIsAsked) {
  for (const Router& router :
       {kOpen, kFullCone, kAddressRestricted, kPortRestricted, kSymmetric, kNoUdp}) {
    World world(router, 2, milliseconds(150));
    EXPECT_LE(world.run(), kNatTime);
    // A relay answers 20 questions of one address at once.
    EXPECT_LE(world.sent_to(0), 16u);
    EXPECT_LE(world.sent_to(1), 16u);
  }
}

TEST(NatSurvey, AnAnswerFromElsewhereOrToAnotherQuestionIsPassedOver) {
  CountingRandom random;
  NatSurvey survey({{host("11.0.0.11"), {7102, 7103}}}, std::nullopt, random);
  const TimePoint now{std::chrono::seconds(1)};
  const auto asked = survey.due(now);
  ASSERT_EQ(asked.size(), 2u);
  std::vector<std::uint8_t> answer(kEchoAnswerBytes);
  const std::string magic = "ptrecho!";
  std::copy(magic.begin(), magic.end(), answer.begin());
  std::copy_n(asked[0].bytes.begin() + 8, 8, answer.begin() + 8);
  answer[16] = 4;
  survey.received(NatSocket::asker, {host("11.0.0.66"), 7102}, answer, now);
  survey.received(NatSocket::quiet, asked[0].to, answer, now);
  std::vector<std::uint8_t> other = answer;
  other[8] ^= 0xff;
  survey.received(NatSocket::asker, asked[0].to, other, now);
  survey.received(NatSocket::asker, asked[0].to, std::span(answer).first(20), now);
  EXPECT_EQ(survey.findings().echoes[0].seen[0], std::nullopt);
  survey.received(NatSocket::asker, asked[0].to, answer, now);
  EXPECT_TRUE(survey.findings().echoes[0].seen[0]);
}

TEST(NatMeaning, WhatHelpsFollowsFromWhatThereIs) {
  EXPECT_EQ(meaning_of(NatClass::open, {}).cure, "");
  EXPECT_NE(meaning_of(NatClass::symmetric, {.maps_ports = true}).cure.find("ptrain-punch map"),
            std::string::npos);
  EXPECT_NE(meaning_of(NatClass::symmetric, {.behind_carrier = true}).cure.find("carrier"),
            std::string::npos);
  EXPECT_NE(meaning_of(NatClass::port_restricted, {.reached_by_ipv6 = true}).cure.find("IPv6"),
            std::string::npos);
  EXPECT_NE(meaning_of(NatClass::port_restricted, {}).cure.find("UPnP"), std::string::npos);
}

TEST(NatMeaning, ACarriersAddressesAreThoseOfItsSharedSpace) {
  EXPECT_TRUE(is_of_a_carrier(host("100.64.0.0")));
  EXPECT_TRUE(is_of_a_carrier(host("100.127.255.255")));
  EXPECT_FALSE(is_of_a_carrier(host("100.63.255.255")));
  EXPECT_FALSE(is_of_a_carrier(host("100.128.0.0")));
}

}  // namespace
}  // namespace ptrain::probe
