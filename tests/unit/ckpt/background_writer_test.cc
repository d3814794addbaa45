#include "libcommon/ckpt/background_writer.h"

#include <algorithm>
#include <atomic>
#include <future>
#include <thread>

#include <gtest/gtest.h>

#include "libcommon/ckpt/snapshot.h"
#include "tests/unit/ckpt/error_of.h"

namespace ptrain::ckpt {
namespace {

using std::chrono::milliseconds;

class BackgroundWriterTest : public ::testing::Test {
 protected:
  SteadyClock clock_;
};

TEST_F(BackgroundWriterTest, SubmitReturnsWhileTheSaveStillRuns) {
  std::promise<void> gate;
  BackgroundWriter writer(clock_);
  writer.submit([&] { gate.get_future().wait(); });
  EXPECT_FALSE(writer.idle());
  gate.set_value();
  writer.wait_until_idle();
  EXPECT_TRUE(writer.idle());
}

TEST_F(BackgroundWriterTest, IdleWithinWaitsForTheEndAndNoLonger) {
  std::promise<void> gate;
  BackgroundWriter writer(clock_);
  EXPECT_TRUE(writer.idle_within(Duration::zero()));
  writer.submit([&] { gate.get_future().wait(); });
  EXPECT_FALSE(writer.idle_within(milliseconds(10)));
  gate.set_value();
  EXPECT_TRUE(writer.idle_within(std::chrono::minutes(1)));
}

// Stands still but for what the saves take, and counts who looks at it.
class WatchedClock final : public Clock {
 public:
  TimePoint now() const override {
    const TimePoint read = TimePoint{} + milliseconds(passed_ms_.load());
    ++readings_;
    return read;
  }
  void pass(milliseconds time) { passed_ms_ += static_cast<int>(time.count()); }
  int readings() const { return readings_; }

 private:
  std::atomic<int> passed_ms_ = 0;
  mutable std::atomic<int> readings_ = 0;
};

// However slow this machine is: a save takes its time while its owner waits, and no other time.
TEST_F(BackgroundWriterTest, ASecondSaveWaitsForTheFirstAndSaysHowLong) {
  WatchedClock clock;
  std::atomic<int> running = 0;
  std::atomic<int> saves = 0;
  BackgroundWriter writer(clock);
  const auto save = [&] {
    EXPECT_EQ(++running, 1);
    // Each call of the owner looks at the clock before it waits and after it.
    const int before_its_wait = 2 * ++saves + 1;
    for (int i = 0; i < 30'000 && clock.readings() < before_its_wait; ++i) {
      std::this_thread::sleep_for(milliseconds(1));
    }
    clock.pass(milliseconds(50));
    --running;
  };
  EXPECT_EQ(writer.submit(save), milliseconds(0));
  EXPECT_EQ(writer.submit(save), milliseconds(50));
  EXPECT_EQ(writer.wait_until_idle(), milliseconds(50));
  EXPECT_EQ(writer.wait_until_idle(), milliseconds(0));
}

TEST_F(BackgroundWriterTest, AnErrorSurfacesOnceAtTheNextCall) {
  BackgroundWriter writer(clock_);
  const auto fail = [] { throw Error(ErrorKind::io, "disk full"); };
  writer.submit(fail);
  EXPECT_EQ(error_of([&] { writer.wait_until_idle(); }, ErrorKind::io), "disk full");
  writer.wait_until_idle();
  writer.submit(fail);
  bool ran = false;
  EXPECT_EQ(error_of([&] { writer.submit([&] { ran = true; }); }, ErrorKind::io), "disk full");
  writer.submit([&] { ran = true; });
  writer.wait_until_idle();
  EXPECT_TRUE(ran);
}

TEST_F(BackgroundWriterTest, DestructionWaitsForTheSave) {
  bool done = false;
  {
    BackgroundWriter writer(clock_);
    writer.submit([&] {
      std::this_thread::sleep_for(milliseconds(30));
      done = true;
    });
  }
  EXPECT_TRUE(done);
}

TEST(Snapshot, IsACopyThatLaterChangesDoNotReach) {
  std::vector<std::byte> weights(100, std::byte(1));
  std::vector<std::byte> norm(3, std::byte(2));
  const std::vector<TensorView> views = {{{"w", Dtype::u8, {100}}, weights},
                                         {{"none", Dtype::u8, {0}}, {}},
                                         {{"n", Dtype::u8, {3}}, norm}};
  Snapshot snapshot;
  const auto& copies = snapshot.assign(views);
  weights.assign(100, std::byte(9));
  norm.assign(3, std::byte(9));
  ASSERT_EQ(copies.size(), 3u);
  EXPECT_EQ(copies[2].info.name, "n");
  EXPECT_TRUE(std::ranges::equal(copies[0].bytes, std::vector(100, std::byte(1))));
  EXPECT_TRUE(copies[1].bytes.empty());
  EXPECT_TRUE(std::ranges::equal(copies[2].bytes, std::vector(3, std::byte(2))));
  const std::byte* memory = copies[0].bytes.data();
  EXPECT_EQ(snapshot.assign(views)[0].bytes.data(), memory) << "the block is used again";
  snapshot.release();
  EXPECT_TRUE(snapshot.tensors().empty());
  EXPECT_EQ(snapshot.assign(views)[0].bytes[0], std::byte(9));
}

}  // namespace
}  // namespace ptrain::ckpt
