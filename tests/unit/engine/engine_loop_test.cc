#include "tools/stage/engine/engine_loop.h"

#include <deque>
#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ptrain::stage {
namespace {

using wire::MessageKind;

// Brings what the test has put there; a time without anything passes at once.
class FakePost : public Post {
 public:
  FakePost(const Place& place, FakeClock& clock) : Post(place, ByteCount(0)), clock_(clock) {}

  using Post::send;
  void send(WorkerIndex, wire::Message) override {}
  std::optional<PostEvent> next(Duration timeout) override {
    if (events.empty()) {
      clock_.advance(timeout);
      return std::nullopt;
    }
    PostEvent event = std::move(events.front());
    events.pop_front();
    return event;
  }
  ByteCount queued(WorkerIndex) const override { return ByteCount(0); }
  std::vector<std::pair<WorkerIndex, net::Traffic>> traffic() const override { return {}; }
  std::vector<net::LostLink> lost_links() const override { return {}; }
  void fail(std::string_view) override {}

  std::deque<PostEvent> events;

 private:
  FakeClock& clock_;
};

// Needs one message after the other.
class Consumer : public Activity {
 public:
  Consumer(Inbox& inbox, int wanted) : inbox_(inbox), wanted_(wanted) {}

  bool done() const override { return taken == wanted_; }
  bool advance() override {
    if (blocked || !inbox_.take(waits_for().name)) return false;
    ++taken;
    when_taken();
    return true;
  }
  Wait waits_for() const override {
    if (blocked) return {.what = Wait::For::room, .whom = WorkerIndex(0)};
    return {.name = name_of(MessageKind::activation, Step(3), {},
                            MicrobatchIndex(static_cast<std::uint32_t>(taken))),
            .whom = WorkerIndex(0)};
  }
  void await_disk(Duration) override {}
  bool takes_long() const override { return is_long; }
  std::string under_way() const override { return "the step"; }
  bool abandon() override {
    if (!abandons) return false;
    wanted_ = taken;
    return true;
  }

  int taken = 0;
  bool blocked = false;
  bool is_long = false;
  std::function<void()> when_taken = [] {};
  bool abandons = false;

 private:
  Inbox& inbox_;
  int wanted_;
};

class EngineLoopTest : public testing::Test {
 protected:
  void bring(std::uint32_t microbatch) {
    Letter letter;
    letter.message.name =
        name_of(MessageKind::activation, Step(3), {}, MicrobatchIndex(microbatch));
    post_.events.push_back(std::move(letter));
  }
  std::string failure(Activity& activity, ErrorKind kind) {
    try {
      loop_.run(activity);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), kind);
      return error.what();
    }
    return "it ended";
  }

  FakeClock clock_;
  FakePost post_{Place(StageIndex(1), 2), clock_};
  Inbox inbox_{post_.place(), 8};
  WaitMeter meter_;
  bool stop_ = false;
  EngineLoop loop_{post_, inbox_, meter_, [this] { return stop_; }, clock_};
};

TEST_F(EngineLoopTest, RunsAnActivityToItsEndAsMessagesCome) {
  for (const std::uint32_t microbatch : {1, 0, 2}) bring(microbatch);
  Consumer consumer(inbox_, 3);
  loop_.run(consumer);
  EXPECT_EQ(consumer.taken, 3);
}

TEST_F(EngineLoopTest, WhatCameBeforeALossIsConsumedFirst) {
  bring(0);
  bring(1);
  post_.events.push_back(Gone{WorkerIndex(0), Error(ErrorKind::unavailable, "stage 0 is lost")});
  Consumer consumer(inbox_, 3);
  EXPECT_EQ(failure(consumer, ErrorKind::unavailable), "stage 0 is lost");
  EXPECT_EQ(consumer.taken, 2);
}

TEST_F(EngineLoopTest, ALossIsNoneForWhoNeedsNothingMore) {
  bring(0);
  post_.events.push_back(Gone{WorkerIndex(0), Error(ErrorKind::unavailable, "stage 0 is lost")});
  Consumer consumer(inbox_, 1);
  EXPECT_NO_THROW(loop_.run(consumer));
}

TEST_F(EngineLoopTest, AWaitForWhatOneThatHasLeftDidNotSendEndsAtOnce) {
  bring(0);
  post_.events.push_back(Gone{WorkerIndex(0), std::nullopt});
  Consumer consumer(inbox_, 2);
  EXPECT_EQ(failure(consumer, ErrorKind::unavailable),
            "stage 0 has left without activation of step 3, microbatch 1, from stage 0");
  EXPECT_EQ(clock_.now(), TimePoint{});
}

TEST_F(EngineLoopTest, AStopRequestEndsTheWaitAfterItsTime) {
  stop_ = true;
  Consumer consumer(inbox_, 1);
  EXPECT_EQ(failure(consumer, ErrorKind::try_again),
            "told to stop, and the step did not end within 5 s");
  EXPECT_GT(clock_.now() - TimePoint{}, kFinishStepWithin);
  EXPECT_LT(clock_.now() - TimePoint{}, kFinishStepWithin + std::chrono::seconds(1));
}

TEST_F(EngineLoopTest, WhatCanBeAbandonedIs) {
  stop_ = true;
  Consumer consumer(inbox_, 1);
  consumer.abandons = true;
  EXPECT_NO_THROW(loop_.run(consumer));
  EXPECT_TRUE(consumer.done());
}

TEST_F(EngineLoopTest, WhatIsHereWhenTheTimeIsOverIsDoneStill) {
  stop_ = true;
  bring(0);
  clock_.advance(std::chrono::seconds(1));
  Consumer consumer(inbox_, 2);
  consumer.when_taken = [&] { clock_.advance(std::chrono::seconds(20)); };
  bring(1);
  EXPECT_NO_THROW(loop_.run(consumer));
  EXPECT_EQ(consumer.taken, 2);
}

TEST_F(EngineLoopTest, WhatTakesLongIsNotBegunWhenTheTimeIsOver) {
  stop_ = true;
  bring(0);
  bring(1);
  Consumer consumer(inbox_, 2);
  consumer.is_long = true;
  consumer.when_taken = [&] { clock_.advance(std::chrono::seconds(20)); };
  EXPECT_EQ(failure(consumer, ErrorKind::try_again),
            "told to stop, and the step did not end within 5 s");
  EXPECT_EQ(consumer.taken, 1);
}

TEST_F(EngineLoopTest, WhoLeavesWhileRoomIsWaitedForIsNamed) {
  post_.events.push_back(Gone{WorkerIndex(0), std::nullopt});
  Consumer consumer(inbox_, 1);
  consumer.blocked = true;
  EXPECT_EQ(failure(consumer, ErrorKind::unavailable),
            "stage 0 has left while this one waited for room for what is sent there");
}

TEST_F(EngineLoopTest, AForgedNameEndsTheRun) {
  Letter letter;
  letter.message.name = name_of(MessageKind::gradient, Step(3), {});
  post_.events.push_back(std::move(letter));
  Consumer consumer(inbox_, 1);
  EXPECT_THAT(failure(consumer, ErrorKind::corrupt), testing::HasSubstr("expects none from there"));
}

TEST_F(EngineLoopTest, WaitingIsCountedByWhatIsWaitedFor) {
  stop_ = true;
  Consumer consumer(inbox_, 1);
  failure(consumer, ErrorKind::try_again);
  EXPECT_EQ(meter_.total(), meter_.of(MessageKind::activation));
  EXPECT_EQ(meter_.of(MessageKind::gradient), Duration::zero());
  EXPECT_GE(meter_.total(), kFinishStepWithin);
}

}  // namespace
}  // namespace ptrain::stage
