#include "libcommon/elastic/sender_log.h"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libcommon/base/error.h"
#include "tests/unit/elastic/views.h"
#include "tests/unit/os/faulty_storage.h"
#include "tests/unit/os/temporary_directory.h"

namespace ptrain::elastic {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::uint64_t kOverhead = SenderLog::kMessageOverhead;

wire::Message message(std::uint64_t step, std::uint32_t microbatch = 0, std::size_t bytes = 100,
                      wire::MessageKind kind = wire::MessageKind::activation) {
  wire::Message result;
  result.name.step = Step(step);
  result.name.microbatch = MicrobatchIndex(microbatch);
  result.name.kind = kind;
  wire::MutableBuffer payload(bytes);
  for (std::size_t i = 0; i < bytes; ++i) {
    payload.bytes()[i] = static_cast<std::byte>(step * 31 + microbatch * 7 + i);
  }
  result.payload = std::move(payload).freeze();
  result.tensor.codec = "c" + std::to_string(step);
  return result;
}

bool same(const wire::Message& left, const wire::Message& right) {
  return left.name == right.name && left.tensor == right.tensor &&
         left.payload.size() == right.payload.size() &&
         (left.payload.empty() ||
          std::memcmp(left.payload.data(), right.payload.data(), left.payload.size()) == 0);
}

class SenderLogTest : public ::testing::Test {
 protected:
  static SenderLogLimits limits(std::uint64_t memory, std::uint64_t disk = 1 << 20,
                                std::uint64_t file = 1 << 16) {
    return {.memory = ByteCount(memory), .disk = ByteCount(disk), .file = ByteCount(file)};
  }
  std::filesystem::path folder() const { return directory_.path() / "sent"; }
  std::vector<std::string> files() { return disk_.list(folder()); }
  static std::vector<std::string> replayed(const SenderLog& log, const job::CellIndex& to,
                                           std::uint64_t from) {
    std::vector<std::string> names;
    ReplayPoint point{.from = Step(from)};
    while (const auto next = log.replay(to, point)) {
      EXPECT_TRUE(same(*next, message(next->name.step.value(), next->name.microbatch.value(),
                                      next->payload.size(), next->name.kind)));
      names.push_back(std::to_string(next->name.step.value()) + "." +
                      std::to_string(next->name.microbatch.value()));
    }
    return names;
  }
  static Error error_of(const std::function<void()>& action) {
    try {
      action();
    } catch (const Error& error) {
      return error;
    }
    return Error(ErrorKind::internal, "no error");
  }

  os::TemporaryDirectory directory_;
  os::PosixStorage disk_;
};

TEST_F(SenderLogTest, GivesBackWhatWasSentInItsOrderFromAStepOn) {
  SenderLog log(disk_, folder(), limits(1 << 20));
  for (std::uint64_t step = 3; step < 6; ++step) {
    log.add(cell_at(1), message(step, 0));
    log.add(cell_at(2), message(step, 5));
    log.add(cell_at(1), message(step, 1));
  }
  EXPECT_THAT(replayed(log, cell_at(1), 4), ElementsAre("4.0", "4.1", "5.0", "5.1"));
  EXPECT_THAT(replayed(log, cell_at(2), 0), ElementsAre("3.5", "4.5", "5.5"));
  EXPECT_THAT(replayed(log, cell_at(7), 0), IsEmpty());
}

TEST_F(SenderLogTest, SharesTheBufferOfWhoSends) {
  SenderLog log(disk_, folder(), limits(1 << 20));
  const wire::Message sent = message(1);
  log.add(cell_at(1), sent);
  ReplayPoint point;
  EXPECT_EQ(log.replay(cell_at(1), point)->payload.data(), sent.payload.data());
}

TEST_F(SenderLogTest, KeepsAMessageOnce) {
  SenderLog log(disk_, folder(), limits(1 << 20));
  log.add(cell_at(1), message(1));
  log.add(cell_at(1), message(1));
  log.add(cell_at(2), message(1));  // another cell's
  EXPECT_EQ(log.size().messages, 2u);
  EXPECT_THAT(replayed(log, cell_at(1), 0), ElementsAre("1.0"));
}

TEST_F(SenderLogTest, ForgetsWhatACellHasADurableCheckpointOf) {
  SenderLog log(disk_, folder(), limits(1 << 20));
  for (std::uint64_t step = 0; step < 5; ++step) {
    log.add(cell_at(1), message(step));
    log.add(cell_at(2), message(step));
  }
  EXPECT_EQ(log.complete_from(cell_at(1)), Step(0));
  log.forget(cell_at(1), Step(3));
  EXPECT_EQ(log.complete_from(cell_at(1)), Step(3));
  EXPECT_THAT(replayed(log, cell_at(1), 0), ElementsAre("3.0", "4.0"));
  EXPECT_THAT(replayed(log, cell_at(2), 0), ElementsAre("0.0", "1.0", "2.0", "3.0", "4.0"));
  log.forget(cell_at(1), Step(2));  // an older word, late
  EXPECT_EQ(log.complete_from(cell_at(1)), Step(3));
  log.add(cell_at(1), message(2));  // computed again, and nobody will ask for it
  EXPECT_THAT(replayed(log, cell_at(1), 0), ElementsAre("3.0", "4.0"));
  EXPECT_EQ(log.size().messages, 7u);
  EXPECT_EQ(log.size().memory, ByteCount(7 * (100 + kOverhead)));
}

TEST_F(SenderLogTest, AReplayMayWaitWhileTheLogGoesOn) {
  SenderLog log(disk_, folder(), limits(1 << 20));
  for (std::uint64_t step = 0; step < 4; ++step) log.add(cell_at(1), message(step));
  ReplayPoint point{.from = Step(1)};
  EXPECT_EQ(log.replay(cell_at(1), point)->name.step, Step(1));
  log.forget(cell_at(1), Step(3));
  EXPECT_EQ(log.replay(cell_at(1), point)->name.step, Step(3));
  EXPECT_EQ(log.replay(cell_at(1), point), std::nullopt);
  log.add(cell_at(1), message(4));
  EXPECT_EQ(log.replay(cell_at(1), point)->name.step, Step(4));
}

TEST_F(SenderLogTest, TheOldestGoesToDiskBeforeTheStepThatNeedsTheRoom) {
  const std::uint64_t four = 4 * (100 + kOverhead);
  SenderLog log(disk_, folder(), limits(four));
  for (std::uint64_t step = 0; step < 4; ++step) {
    log.reserve(1, ByteCount(100));
    log.add(cell_at(1), message(step));
  }
  EXPECT_EQ(log.size(), (SenderLogSize{4, ByteCount(four), ByteCount(0)}));  // at the limit
  log.reserve(0, ByteCount(0));
  EXPECT_EQ(log.size().disk, ByteCount(0));
  log.reserve(1, ByteCount(100));  // past it
  EXPECT_LE(log.size().memory.value() + 100 + kOverhead, four);
  EXPECT_EQ(log.size().disk, ByteCount(400));  // names stay in memory, so four payloads make room
  log.add(cell_at(1), message(4));
  EXPECT_LE(log.size().memory.value(), four);
  EXPECT_THAT(replayed(log, cell_at(1), 0), ElementsAre("0.0", "1.0", "2.0", "3.0", "4.0"));
}

TEST_F(SenderLogTest, FilesGoWhenAllInThemIsForgotten) {
  SenderLog log(disk_, folder(), limits(3300, 1 << 20, 1000));
  for (std::uint64_t step = 0; step < 6; ++step) {
    log.reserve(1, ByteCount(1000));
    log.add(cell_at(1), message(step, 0, 1000));
  }
  const std::size_t most = files().size();
  EXPECT_EQ(most, 5u);
  EXPECT_EQ(log.size().disk.value() % 1000, 0u);
  log.forget(cell_at(1), Step(3));
  EXPECT_EQ(files().size(), most - 3);
  EXPECT_THAT(replayed(log, cell_at(1), 0), ElementsAre("3.0", "4.0", "5.0"));
  log.forget(cell_at(1), Step(6));
  EXPECT_THAT(files(), IsEmpty());
  EXPECT_EQ(log.size(), SenderLogSize{});
  log.reserve(1, ByteCount(1000));
  log.add(cell_at(1), message(6, 0, 1000));
  log.reserve(1, ByteCount(2000));  // into a file of its own
  EXPECT_THAT(replayed(log, cell_at(1), 0), ElementsAre("6.0"));
}

TEST_F(SenderLogTest, LeavesNoFilesAndRemovesThoseOfAProcessThatDied) {
  std::filesystem::create_directory(folder());
  disk_.create(folder() / "sent-000007.log")->append(std::as_bytes(std::span("old")));
  disk_.create(folder() / "mine.txt");
  {
    SenderLog log(disk_, folder(), limits(1 << 20));
    EXPECT_THAT(files(), ElementsAre("mine.txt", "sent-000001.log"));
  }
  EXPECT_THAT(files(), ElementsAre("mine.txt"));
}

TEST_F(SenderLogTest, WithoutDiskThereIsNoFolder) {
  SenderLog log(disk_, folder(), limits(1000, 0));
  EXPECT_FALSE(std::filesystem::exists(folder()));
  log.reserve(1, ByteCount(400));
  log.add(cell_at(1), message(0, 0, 400));
  const Error error = error_of([&] { log.reserve(1, ByteCount(400)); });
  EXPECT_EQ(error.kind(), ErrorKind::io);
  EXPECT_THAT(error.what(), HasSubstr("the most for cell 1,0, 400 bytes since step 0"));
  EXPECT_THAT(error.hint(), HasSubstr("save checkpoints more often"));
}

TEST_F(SenderLogTest, AStepThatIsMoreThanTheMemoryIsRefused) {
  SenderLog log(disk_, folder(), limits(2 * (100 + kOverhead)));
  EXPECT_NO_THROW(log.reserve(2, ByteCount(200)));
  const Error error = error_of([&] { log.reserve(2, ByteCount(201)); });
  EXPECT_EQ(error.kind(), ErrorKind::usage);
  EXPECT_THAT(error.what(), HasSubstr("a step sends 2 messages of 201 bytes"));
}

TEST_F(SenderLogTest, TheLimitOnDiskIsAnErrorBeforeTheStep) {
  SenderLog log(disk_, folder(), limits(2300, 2000));
  for (std::uint64_t step = 0; step < 3; ++step) {
    log.reserve(1, ByteCount(1000));
    log.add(cell_at(1), message(step, 0, 1000));
  }
  EXPECT_EQ(log.size().disk, ByteCount(2000));  // at the limit
  const SenderLogSize before = log.size();
  const Error error = error_of([&] { log.reserve(1, ByteCount(1000)); });
  EXPECT_EQ(error.kind(), ErrorKind::io);
  EXPECT_THAT(error.what(), HasSubstr("its limits are 2300 and 2000"));
  EXPECT_EQ(log.size(), before);
  EXPECT_THAT(replayed(log, cell_at(1), 0), ElementsAre("0.0", "1.0", "2.0"));
  log.forget(cell_at(1), Step(2));
  EXPECT_NO_THROW(log.reserve(1, ByteCount(1000)));  // and may be tried again
}

TEST_F(SenderLogTest, NamesAloneCanBeTooMany) {
  SenderLog log(disk_, folder(), limits(4 * kOverhead));
  for (std::uint64_t step = 0; step < 4; ++step) {
    log.reserve(1, ByteCount(0));
    log.add(cell_at(1), message(step, 0, 0));
  }
  const Error error = error_of([&] { log.reserve(1, ByteCount(0)); });
  EXPECT_EQ(error.kind(), ErrorKind::io);
  EXPECT_THAT(error.what(), HasSubstr("their names alone leave no room"));
}

TEST_F(SenderLogTest, AFolderThatCannotBeWrittenIsAnErrorAtOnce) {
  os::FaultyStorage read_only(disk_, 1, EROFS, os::Syncs::left_out, os::Lasting::for_good);
  const Error error = error_of([&] { SenderLog log(read_only, folder(), limits(1 << 20)); });
  EXPECT_EQ(error.kind(), ErrorKind::io);
  EXPECT_THAT(error.what(), HasSubstr("sent-000001.log"));
}

// The disk fails at each of its operations in turn, once or for good: reserve() says so, nothing
// that was added is lost, and where the disk works again so does the log.
TEST_F(SenderLogTest, AFailingDiskLosesNothing) {
  for (const os::Lasting lasting : {os::Lasting::once, os::Lasting::for_good}) {
    for (std::size_t failing = 2;; ++failing) {
      std::filesystem::remove_all(folder());
      os::FaultyStorage disk(disk_, failing, ENOSPC, os::Syncs::left_out, lasting);
      SenderLog log(disk, folder(), limits(12 * kOverhead + 2200, 1 << 20, 1500));
      std::vector<std::string> expected;
      bool said = false;
      for (std::uint64_t step = 0; step < 12; ++step) {
        try {
          log.reserve(1, ByteCount(1000));
        } catch (const Error& error) {
          EXPECT_EQ(error.kind(), ErrorKind::io);
          said = true;
        }
        log.add(cell_at(1), message(step, 0, 1000));
        expected.push_back(std::to_string(step) + ".0");
        if (step == 6) {
          log.forget(cell_at(1), Step(4));
          expected.erase(expected.begin(), expected.begin() + 4);
        }
        ASSERT_EQ(replayed(log, cell_at(1), 0), expected) << "operation " << failing;
      }
      if (!disk.failed()) {
        EXPECT_FALSE(said);
        EXPECT_GT(failing, 12u);
        break;
      }
      if (lasting == os::Lasting::once) {
        EXPECT_NO_THROW(log.reserve(0, ByteCount(0))) << "operation " << failing;
      } else {
        // What forget() could not remove is tried again, and then said, as all else is.
        EXPECT_TRUE(said) << "operation " << failing;
      }
    }
  }
}

TEST_F(SenderLogTest, AFileThatIsNotWhatWasWrittenIsSaid) {
  SenderLog log(disk_, folder(), limits(650));
  log.add(cell_at(1), message(0));
  log.reserve(1, ByteCount(100));
  disk_.open_for_update(folder() / "sent-000001.log")->write_at(50, std::as_bytes(std::span("XX")));
  ReplayPoint point;
  const Error error = error_of([&] { log.replay(cell_at(1), point); });
  EXPECT_EQ(error.kind(), ErrorKind::corrupt);
  EXPECT_THAT(error.what(), HasSubstr("activation of step 0"));
}

// Against a list in memory: whatever is sent, forgotten and asked for again.
TEST_F(SenderLogTest, IsTheListThatItShouldBe) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    std::mt19937_64 random(seed);
    const auto below = [&](std::uint64_t limit) { return random() % limit; };
    const std::uint64_t memory = 18000 + below(16000);
    SenderLog log(disk_, folder(), limits(memory, 1 << 20, 500 + below(2000)));
    std::map<job::CellIndex, std::vector<wire::Message>> model;
    std::map<job::CellIndex, Step> reached;
    for (std::uint64_t step = 0; step < 30; ++step) {
      const std::size_t bytes = below(300);
      try {
        log.reserve(4, ByteCount(4 * bytes));
        EXPECT_LE(log.size().memory.value() + 4 * (bytes + kOverhead), memory);
      } catch (const Error& error) {
        EXPECT_NE(error.kind(), ErrorKind::internal);
      }
      for (std::uint32_t microbatch = 0; microbatch < 2; ++microbatch) {
        for (const std::uint32_t stage : {0u, 2u}) {
          const wire::Message sent = message(step, microbatch, bytes);
          log.add(cell_at(stage), sent);
          if (below(4) == 0) log.add(cell_at(stage), sent);
          model[cell_at(stage)].push_back(sent);
        }
      }
      const job::CellIndex cell = cell_at(below(2) * 2);
      if (below(3) == 0) {
        const Step until(step - std::min<std::uint64_t>(step, below(6)));
        log.forget(cell, until);
        reached[cell] = std::max(reached[cell], until);
        std::erase_if(model[cell], [&](const auto& each) { return each.name.step < until; });
      }
      EXPECT_EQ(log.complete_from(cell), reached[cell]);
      ReplayPoint point{.from = Step(below(step + 1))};
      for (const wire::Message& expected : model[cell]) {
        if (expected.name.step < point.from) continue;
        const auto next = log.replay(cell, point);
        ASSERT_TRUE(next && same(*next, expected)) << "seed " << seed << ", step " << step;
      }
      ASSERT_EQ(log.replay(cell, point), std::nullopt);
      EXPECT_EQ(log.size().messages, model[cell_at(0)].size() + model[cell_at(2)].size());
    }
    for (const std::uint32_t stage : {0u, 2u}) log.forget(cell_at(stage), Step(100));
    EXPECT_EQ(log.size(), SenderLogSize{}) << "seed " << seed;
  }
}

}  // namespace
}  // namespace ptrain::elastic
