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

TEST_F(BackgroundWriterTest, ASecondSaveWaitsForTheFirstAndSaysHowLong) {
  std::atomic<int> running = 0;
  BackgroundWriter writer(clock_);
  const auto save = [&] {
    EXPECT_EQ(++running, 1);
    std::this_thread::sleep_for(milliseconds(50));
    --running;
  };
  EXPECT_LT(writer.submit(save), milliseconds(40));
  EXPECT_GE(writer.submit(save), milliseconds(40));
  EXPECT_GE(writer.wait_until_idle(), milliseconds(40));
  EXPECT_LT(writer.wait_until_idle(), milliseconds(40));
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
