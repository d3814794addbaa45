#include "libcommon/net/bundle.h"

#include <deque>
#include <memory>
#include <random>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libcommon/net/bundle_dialer.h"
#include "libcommon/net/bundle_gate.h"

namespace ptrain::net {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr PeerHandle kPeer{7};

// A connection that keeps what it was given.
class FakeConnection final : public Path {
 public:
  explicit FakeConnection(std::uint64_t id, wire::Strand strand = {}) : id_(id), strand_(strand) {}
  PathId id() const override { return PathId(id_); }
  std::string name() const override { return "fake"; }
  Route route() const override { return {}; }
  wire::Strand strand() const override { return strand_; }
  std::optional<FrameBytes> send(const wire::Frame& frame, std::uint64_t ordinal) override {
    if (vanished) return std::nullopt;
    sent.push_back({.frame = frame, .ordinal = ordinal});
    const auto* data = std::get_if<wire::Data>(&frame);
    return FrameBytes{.payload = data == nullptr ? 0 : data->payload.size()};
  }

  std::deque<Arrival> sent;
  bool vanished = false;

 private:
  std::uint64_t id_;
  wire::Strand strand_;
};

struct FakeSink final : PathSink {
  PathId next_path_id() override { return PathId(++last_id); }
  void path_opened(Path& path, PeerHandle peer, wire::Channel) override {
    EXPECT_EQ(peer, kPeer);
    opened.push_back(&path);
  }
  void path_lost(PathId id) override { lost.push_back(id); }
  void arrived(PathId id, Arrival arrival) override {
    from.push_back(id);
    frames.push_back(std::move(arrival.frame));
  }
  void attempt_failed(PeerHandle, const std::string&, ErrorKind, bool) override {}
  void refused(const std::string& why) override { refusals.push_back(why); }

  // Numbers of the pings that have arrived.
  std::vector<std::uint64_t> pings() const {
    std::vector<std::uint64_t> numbers;
    for (const wire::Frame& frame : frames) {
      if (const auto* ping = std::get_if<wire::Ping>(&frame)) numbers.push_back(ping->number);
    }
    return numbers;
  }

  std::uint64_t last_id = 1000;
  std::vector<Path*> opened;
  std::vector<PathId> lost;
  std::vector<PathId> from;
  std::vector<wire::Frame> frames;
  std::vector<std::string> refusals;
};

wire::Data data_of(std::size_t bytes, std::uint64_t sequence = 0) {
  return {.channel = wire::Channel::bulk,
          .sequence = sequence,
          .checksum = 0,
          .start = {},
          .payload = wire::MutableBuffer(bytes).freeze()};
}

Arrival ping_of(std::uint64_t ordinal) {
  return {.frame = wire::Ping{.number = ordinal}, .bytes = {}, .ordinal = ordinal};
}

// A bundle over fakes.
struct Bundled {
  explicit Bundled(std::size_t count) {
    std::vector<Connection> parts;
    for (std::size_t i = 0; i < count; ++i) {
      connections.push_back(std::make_unique<FakeConnection>(i + 1));
      parts.push_back({.id = connections.back()->id(), .path = connections.back().get()});
    }
    bundle = std::make_unique<Bundle>(PathId(99), 42, parts);
  }
  FakeConnection& operator[](std::size_t index) { return *connections[index]; }
  std::optional<std::string> take(std::size_t index, Arrival arrival) {
    return bundle->take(PathId(index + 1), std::move(arrival), sink);
  }

  FakeSink sink;
  std::vector<std::unique_ptr<FakeConnection>> connections;
  std::unique_ptr<Bundle> bundle;
};

TEST(Bundle, TheHelloGoesOverEveryConnectionAndSaysWhichOneItIs) {
  Bundled sender(3);
  ASSERT_TRUE(sender.bundle->send(wire::Hello{}, kNoOrdinal));
  for (std::uint8_t i = 0; i < 3; ++i) {
    ASSERT_THAT(sender[i].sent, SizeIs(1));
    EXPECT_EQ(std::get<wire::Hello>(sender[i].sent[0].frame).strand,
              (wire::Strand{.bundle = 42, .number = i, .count = 3}));
    EXPECT_EQ(sender[i].sent[0].ordinal, 1u);
  }
}

TEST(Bundle, FramesGoOverTheConnectionThatHasTheLeastUnderWay) {
  Bundled sender(2);
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(sender.bundle->send(data_of(1 << 20), kNoOrdinal));
  EXPECT_THAT(sender[0].sent, SizeIs(2));
  EXPECT_THAT(sender[1].sent, SizeIs(2));
  // All that went over the first one has arrived.
  EXPECT_FALSE(sender.take(0, {.frame = wire::Tally{.cost = 2 * kMaxFrameCost}}));
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(sender.bundle->send(data_of(1 << 20), kNoOrdinal));
  EXPECT_THAT(sender[0].sent, SizeIs(4));
  EXPECT_THAT(sender[1].sent, SizeIs(2));
}

TEST(Bundle, WhatFindsAllConnectionsBusyWaitsForATally) {
  Bundled sender(2);
  const std::size_t fit = 2 * (kStrandCost / kMaxFrameCost);
  for (std::size_t i = 0; i <= fit; ++i) {
    ASSERT_TRUE(sender.bundle->send(data_of(wire::kMaxFrameBytes), kNoOrdinal));
  }
  EXPECT_EQ(sender[0].sent.size() + sender[1].sent.size(), fit);
  EXPECT_FALSE(sender.take(1, {.frame = wire::Tally{.cost = kMaxFrameCost}}));
  EXPECT_EQ(sender[0].sent.size() + sender[1].sent.size(), fit + 1);
  EXPECT_EQ(sender[1].sent.back().ordinal, fit + 1);
}

TEST(Bundle, WhatArrivesIsPutBackIntoOrder) {
  Bundled receiver(3);
  EXPECT_FALSE(receiver.take(0, ping_of(3)));
  EXPECT_FALSE(receiver.take(1, ping_of(2)));
  EXPECT_THAT(receiver.sink.pings(), IsEmpty());
  EXPECT_FALSE(receiver.take(2, ping_of(1)));
  EXPECT_FALSE(receiver.take(2, ping_of(5)));
  EXPECT_FALSE(receiver.take(2, ping_of(2)));  // once more
  EXPECT_THAT(receiver.sink.pings(), ElementsAre(1, 2, 3));
  EXPECT_FALSE(receiver.take(0, ping_of(4)));
  EXPECT_THAT(receiver.sink.pings(), ElementsAre(1, 2, 3, 4, 5));
  EXPECT_THAT(receiver.sink.from, testing::Each(PathId(99)));
}

TEST(Bundle, ASenderIsToldWhatHasArrivedOverEachConnection) {
  Bundled receiver(2);
  std::uint64_t ordinal = 1;
  std::uint64_t arrived = 0;
  while (receiver[1].sent.empty()) {
    ASSERT_LT(arrived, 2 * kTallyCost);
    EXPECT_FALSE(receiver.take(1, {.frame = data_of(1 << 16), .bytes = {}, .ordinal = ordinal++}));
    arrived += frame_cost(1 << 16);
  }
  EXPECT_THAT(receiver[0].sent, IsEmpty());
  EXPECT_GE(arrived, kTallyCost);
  EXPECT_EQ(std::get<wire::Tally>(receiver[1].sent[0].frame).cost, arrived);
}

TEST(Bundle, WhatIsHeldBackIsLimited) {
  Bundled receiver(2);
  const std::size_t fit = kHeldCost / kMaxFrameCost;
  for (std::size_t i = 0; i < fit; ++i) {
    EXPECT_FALSE(
        receiver.take(0, {.frame = data_of(wire::kMaxFrameBytes), .bytes = {}, .ordinal = 2 + i}));
  }
  const auto flaw =
      receiver.take(0, {.frame = data_of(wire::kMaxFrameBytes), .bytes = {}, .ordinal = 2 + fit});
  ASSERT_TRUE(flaw);
  EXPECT_THAT(*flaw, HasSubstr("frame 1 is missing"));
}

TEST(Bundle, WhatIsNoDataCountsForWhatItMayHold) {
  Bundled receiver(1);
  const std::uint64_t fit = kHeldCost / kHeldServiceCost;
  for (std::uint64_t i = 0; i < fit; ++i) ASSERT_FALSE(receiver.take(0, ping_of(2 + i))) << i;
  EXPECT_TRUE(receiver.take(0, ping_of(2 + fit)));
  Bundled other(1);
  EXPECT_TRUE(other.take(0, {.frame = wire::Hello{}, .bytes = {}, .ordinal = 2}));
}

// A packet was lost on one connection, and TCP takes its time: all that credit allows comes over
// the other one meanwhile.
TEST(Bundle, AConnectionThatLagsBehindByAWholeCreditIsNoFlaw) {
  Bundled from(2);
  Bundled to(2);
  const auto pass = [&](std::size_t index, Bundled& sender, Bundled& receiver) {
    for (auto& queue = sender[index].sent; !queue.empty(); queue.pop_front()) {
      ASSERT_EQ(receiver.take(index, queue.front()), std::nullopt);
    }
  };
  constexpr std::uint64_t kFrames = 31;
  for (std::uint64_t i = 1; i <= kFrames; ++i) {
    ASSERT_TRUE(from.bundle->send(data_of(wire::kMaxFrameBytes, i), kNoOrdinal));
    pass(1, from, to);
    pass(1, to, from);
  }
  EXPECT_THAT(to.sink.frames, IsEmpty());
  pass(0, from, to);
  ASSERT_THAT(to.sink.frames, SizeIs(kFrames));
  for (std::uint64_t i = 0; i < kFrames; ++i) {
    EXPECT_EQ(std::get<wire::Data>(to.sink.frames[i]).sequence, i + 1);
  }
}

TEST(Bundle, BytesCountWhenTheyLeave) {
  Bundled sender(1);
  const std::size_t fit = kStrandCost / kMaxFrameCost;
  std::uint64_t left = 0;
  for (std::size_t i = 0; i < 2 * fit; ++i) {
    left += sender.bundle->send(data_of(wire::kMaxFrameBytes), kNoOrdinal)->payload;
  }
  EXPECT_EQ(left, fit * wire::kMaxFrameBytes);
  EXPECT_FALSE(sender.take(0, {.frame = wire::Tally{.cost = fit * kMaxFrameCost}}));
  left += sender.bundle->send(wire::Ping{.number = 1}, kNoOrdinal)->payload;
  EXPECT_EQ(left, 2 * fit * wire::kMaxFrameBytes);
}

TEST(Bundle, AFrameWithoutAPlaceAndATallyOfTooMuchEndIt) {
  Bundled receiver(2);
  EXPECT_TRUE(receiver.take(0, ping_of(kNoOrdinal)));
  Bundled sender(2);
  ASSERT_TRUE(sender.bundle->send(data_of(1000), kNoOrdinal));
  EXPECT_FALSE(sender.take(0, {.frame = wire::Tally{.cost = frame_cost(1000)}}));
  EXPECT_TRUE(sender.take(0, {.frame = wire::Tally{.cost = frame_cost(1000) + 1}}));
}

TEST(Bundle, AConnectionThatHasVanishedIsTheEndOfIt) {
  Bundled sender(2);
  sender[1].vanished = true;
  EXPECT_TRUE(sender.bundle->send(data_of(1000), kNoOrdinal));
  EXPECT_FALSE(sender.bundle->send(data_of(1000), kNoOrdinal));
  EXPECT_FALSE(sender.bundle->send(wire::Hello{}, kNoOrdinal));
}

// Two bundles joined back to back, each connection at a pace of its own.
TEST(Bundle, OrderIsKeptWhateverTheConnectionsDo) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    Bundled from(4);
    Bundled to(4);
    std::uint64_t sent = 0;
    constexpr std::uint64_t kFrames = 300;
    while (to.sink.frames.size() < kFrames) {
      if (sent < kFrames) {
        ASSERT_TRUE(from.bundle->send(data_of(random() % 200000, ++sent), kNoOrdinal));
      }
      for (std::size_t i = 0; i < 4; ++i) {
        if (random() % (2 + 3 * i) != 0) continue;
        for (auto* one : {&from, &to}) {
          Bundled& other = one == &from ? to : from;
          if ((*one)[i].sent.empty()) continue;
          Arrival arrival = std::move((*one)[i].sent.front());
          (*one)[i].sent.pop_front();
          ASSERT_FALSE(other.take(i, std::move(arrival)));
        }
      }
    }
    for (std::uint64_t i = 0; i < kFrames; ++i) {
      ASSERT_EQ(std::get<wire::Data>(to.sink.frames[i]).sequence, i + 1);
    }
  }
}

// ---- The side that accepts.

struct Gate {
  FakeSink sink;
  BundleGate gate{sink};
  std::vector<std::unique_ptr<FakeConnection>> connections;

  FakeConnection& comes(wire::Strand strand) {
    connections.push_back(std::make_unique<FakeConnection>(connections.size() + 1, strand));
    FakeConnection& connection = *connections.back();
    gate.path_opened(connection, kPeer, wire::Channel::bulk);
    gate.arrived(connection.id(),
                 {.frame = wire::Hello{}, .bytes = {}, .ordinal = strand.count != 0u});
    return connection;
  }
};

TEST(BundleGate, AConnectionByItselfPassesAsItIs) {
  Gate at;
  FakeConnection& connection = at.comes({});
  EXPECT_THAT(at.sink.opened, ElementsAre(&connection));
  EXPECT_THAT(at.sink.frames, SizeIs(1));
  at.gate.path_lost(connection.id());
  EXPECT_THAT(at.sink.lost, ElementsAre(connection.id()));
}

TEST(BundleGate, ConnectionsThatBelongTogetherAreOnePathOnceAllAreThere) {
  Gate at;
  at.comes({.bundle = 5, .number = 1, .count = 3});
  at.comes({.bundle = 5, .number = 0, .count = 3});
  EXPECT_THAT(at.sink.opened, IsEmpty());
  at.comes({.bundle = 5, .number = 2, .count = 3});
  ASSERT_THAT(at.sink.opened, SizeIs(1));
  EXPECT_THAT(at.sink.opened[0]->name(), HasSubstr("3 connections"));
  EXPECT_THAT(at.sink.frames, SizeIs(1)) << "one hello";
}

TEST(BundleGate, OneLostConnectionIsTheLossOfThePathAndTheEndOfTheOthers) {
  Gate at;
  at.comes({.bundle = 5, .number = 0, .count = 2});
  at.comes({.bundle = 5, .number = 1, .count = 2});
  const PathId bundle = at.sink.opened.at(0)->id();
  at.gate.path_lost(PathId(2));
  EXPECT_THAT(at.sink.lost, ElementsAre(bundle));
  EXPECT_THAT(at.gate.take_discarded(), ElementsAre(PathId(1), PathId(2)));
}

TEST(BundleGate, AClosedBundleNamesItsConnections) {
  Gate at;
  at.comes({.bundle = 5, .number = 0, .count = 2});
  at.comes({.bundle = 5, .number = 1, .count = 2});
  EXPECT_THAT(at.gate.close(at.sink.opened.at(0)->id()), ElementsAre(PathId(1), PathId(2)));
  EXPECT_THAT(at.gate.close(PathId(1)), IsEmpty());
  EXPECT_THAT(at.sink.lost, IsEmpty());
}

TEST(BundleGate, WhatWaitsInVainIsClosed) {
  Gate at;
  at.gate.tick(TimePoint{} + 1s);
  at.comes({.bundle = 5, .number = 0, .count = 2});
  EXPECT_EQ(at.gate.next_tick(), TimePoint{} + 1s + kGateTime);
  at.gate.tick(TimePoint{} + 1s + kGateTime - 1ns);
  EXPECT_THAT(at.gate.take_discarded(), IsEmpty());
  at.gate.tick(TimePoint{} + 1s + kGateTime);
  EXPECT_THAT(at.gate.take_discarded(), ElementsAre(PathId(1)));
  at.comes({.bundle = 5, .number = 1, .count = 2});
  EXPECT_THAT(at.sink.opened, IsEmpty());
}

TEST(BundleGate, APeerOfWhomNothingElseCameIsNamed) {
  Gate at;
  at.comes({.bundle = 5, .number = 0, .count = 2});
  at.comes({.bundle = 6, .number = 0, .count = 2});
  EXPECT_THAT(at.gate.take_abandoned(), IsEmpty()) << "the second one is waited for";
  at.gate.tick(TimePoint{} + kGateTime);
  EXPECT_THAT(at.gate.take_abandoned(), ElementsAre(kPeer));
  EXPECT_THAT(at.gate.take_abandoned(), IsEmpty());
}

TEST(BundleGate, ANewBundleOfAPeerTakesThePlaceOfOneThatNeverWasComplete) {
  Gate at;
  at.comes({.bundle = 5, .number = 0, .count = 2});
  at.comes({.bundle = 6, .number = 0, .count = 2});
  EXPECT_THAT(at.gate.take_discarded(), ElementsAre(PathId(1)));
  at.comes({.bundle = 6, .number = 1, .count = 2});
  EXPECT_THAT(at.sink.opened, SizeIs(1));
}

TEST(BundleGate, TheSameNumberTwiceIsRefused) {
  Gate at;
  at.comes({.bundle = 5, .number = 0, .count = 2});
  at.comes({.bundle = 5, .number = 0, .count = 2});
  EXPECT_THAT(at.sink.refusals, ElementsAre(HasSubstr("came twice")));
  EXPECT_THAT(at.gate.take_discarded(), ElementsAre(PathId(2)));
}

// ---- The side that dials.

// Opens and loses its one connection as it is told.
class FakeSource final : public PathSource {
 public:
  void add_poll_items(std::vector<zmq_pollitem_t>&) override {}
  void process(PathSink& sink, TimePoint) override {
    if (lose && connection) {
      const PathId id = connection->id();
      connection.reset();
      sink.path_lost(id);
    }
    if (say && connection) sink.arrived(connection->id(), std::move(*say));
    say.reset();
    if (open && !connection) {
      connection = std::make_unique<FakeConnection>(sink.next_path_id().value());
      sink.path_opened(*connection, kPeer, wire::Channel::bulk);
    }
    open = lose = false;
  }
  TimePoint next_tick() const override { return TimePoint::max(); }
  void close(PathId id, TimePoint) override {
    if (connection && connection->id() == id) connection.reset();
  }

  bool open = false;
  bool lose = false;
  std::optional<Arrival> say{};
  std::unique_ptr<FakeConnection> connection;
};

struct Dialled {
  FakeSink sink;
  SystemRandom random;
  std::vector<FakeSource*> sources;
  std::unique_ptr<BundleDialer> dialer;

  explicit Dialled(int count) {
    std::vector<std::unique_ptr<PathSource>> owned;
    for (int i = 0; i < count; ++i) {
      auto source = std::make_unique<FakeSource>();
      sources.push_back(source.get());
      owned.push_back(std::move(source));
    }
    dialer = std::make_unique<BundleDialer>(std::move(owned), random);
  }
  void process(Duration at) { dialer->process(sink, TimePoint{} + at); }
};

TEST(BundleDialer, TheBundleOpensWhenEveryConnectionIsThere) {
  Dialled dialled(2);
  dialled.sources[0]->open = true;
  dialled.process(0s);
  EXPECT_THAT(dialled.sink.opened, IsEmpty());
  dialled.sources[1]->open = true;
  dialled.process(1s);
  ASSERT_THAT(dialled.sink.opened, SizeIs(1));
  EXPECT_THAT(dialled.sink.opened[0]->name(), HasSubstr("2 connections"));
}

TEST(BundleDialer, ConnectionsThatDoNotComeAreDoneWithout) {
  Dialled dialled(3);
  dialled.sources[0]->open = dialled.sources[2]->open = true;
  dialled.process(0s);
  EXPECT_EQ(dialled.dialer->next_tick(), TimePoint{} + kGatherTime);
  dialled.process(kGatherTime - 1ns);
  EXPECT_THAT(dialled.sink.opened, IsEmpty());
  dialled.process(kGatherTime);
  ASSERT_THAT(dialled.sink.opened, SizeIs(1));
  EXPECT_THAT(dialled.sink.opened[0]->name(), HasSubstr("2 connections"));
  // The third one comes late: no reason to begin anew.
  dialled.sources[1]->open = true;
  dialled.process(kGatherTime + 1s);
  dialled.process(kGatherTime + 60s);
  EXPECT_THAT(dialled.sink.opened, SizeIs(1));
}

TEST(BundleDialer, OneLostConnectionIsTheLossOfAll) {
  Dialled dialled(2);
  for (auto* source : dialled.sources) source->open = true;
  dialled.process(0s);
  const PathId bundle = dialled.sink.opened.at(0)->id();
  dialled.sources[0]->lose = true;
  dialled.process(1s);
  EXPECT_THAT(dialled.sink.lost, ElementsAre(bundle));
  EXPECT_FALSE(dialled.sources[1]->connection) << "the other one is closed";
  for (auto* source : dialled.sources) source->open = true;
  dialled.process(2s);
  EXPECT_THAT(dialled.sink.opened, SizeIs(2));
}

// What one connection brings in the round in which another one has gone: a tally would send what
// waits over that one.
TEST(BundleDialer, ABrokenBundleSendsNothingMore) {
  Dialled dialled(2);
  for (auto* source : dialled.sources) source->open = true;
  dialled.process(0s);
  Path& bundle = *dialled.sink.opened.at(0);
  for (int i = 0; i < 20; ++i) bundle.send(data_of(wire::kMaxFrameBytes), kNoOrdinal);
  for (int i = 0; i < 20; ++i) bundle.send(wire::Ping{.number = 1}, kNoOrdinal);
  dialled.sources[0]->lose = true;
  dialled.sources[1]->say = {.frame = wire::Tally{.cost = kStrandCost / 2}};
  dialled.process(1s);
  EXPECT_THAT(dialled.sink.lost, SizeIs(1));
}

TEST(BundleDialer, AClosedBundleClosesItsConnections) {
  Dialled dialled(2);
  for (auto* source : dialled.sources) source->open = true;
  dialled.process(0s);
  dialled.dialer->close(dialled.sink.opened.at(0)->id(), TimePoint{});
  for (auto* source : dialled.sources) EXPECT_FALSE(source->connection);
  EXPECT_THAT(dialled.sink.lost, IsEmpty());
}

}  // namespace
}  // namespace ptrain::net
