#include "tools/relay/control/state_file.h"

#include <csignal>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include "libcommon/os/atomic_file.h"
#include "libcommon/os/read_file.h"
#include "tests/unit/os/faulty_storage.h"
#include "tests/unit/os/temporary_directory.h"
#include "tests/unit/relay/run_of_members.h"
#include "tools/relay/control/state_keeper.h"

namespace ptrain::relay {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

constexpr std::uint64_t kFirstVersion = 1000;

class RecordedLog final : public Log {
 public:
  void info(std::string_view line) override { text += std::string(line) + "\n"; }
  void warning(std::string_view line) override { text += std::string(line) + "\n"; }
  std::string text;
};

struct StateFile : testing::Test {
  void enrol(Registry& to, std::uint8_t peer, std::uint64_t sequence = 1) const {
    to.enrol(run.opened(key_of(peer), "a", sequence), run.record(key_of(peer), "a", sequence), "c",
             "192.0.2.1", now);
  }
  // The members of a registry that was saved `registry` and restored after so long.
  std::size_t left_after(Duration wall, Duration boot, const std::string& boot_id = "one") const {
    const SavedState state = saved_state(registry, moment, now);
    Registry restored(registry.limits(), 0);
    Moment later = moment;
    later.wall += std::chrono::duration_cast<std::chrono::milliseconds>(wall);
    later.boot += std::chrono::duration_cast<std::chrono::milliseconds>(boot);
    later.boot_id = boot_id;
    restore(state, later, now, restored);
    if (const auto expiry = restored.next_expiry()) {
      EXPECT_LE(*expiry, now + restored.limits().lease);
    }
    return restored.members();
  }
  std::filesystem::path file() const { return folder.path() / kStateName; }
  void write(const std::string& text) const { std::ofstream(file()) << text; }
  std::string written() const {
    const auto bytes = encode(saved_state(registry, moment, now));
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  TimePoint now{1h};
  Moment moment{.wall = 1700000000000ms, .boot = 5000000ms, .boot_id = "one"};
  TestRun run{1};
  Registry registry{{.lease = 30s}, kFirstVersion};
  os::TemporaryDirectory folder;
  os::PosixStorage disk;
  RecordedLog log;
};

TEST_F(StateFile, ReadsBackAsItWasWritten) {
  enrol(registry, 1);
  enrol(registry, 2);
  const SavedState state = saved_state(registry, moment, now);
  EXPECT_EQ(state.members.size(), 2u);
  EXPECT_EQ(state.members[0].lease, 30s);
  const auto decoded = decode_state(encode(state));
  ASSERT_TRUE(std::holds_alternative<SavedState>(decoded));
  EXPECT_EQ(std::get<SavedState>(decoded), state);
}

TEST_F(StateFile, WhatHasNotExpiredIsBack) {
  enrol(registry, 1);
  EXPECT_EQ(left_after(0s, 0s), 1u);
  EXPECT_EQ(left_after(29s, 29s), 1u);
  // Renewals since the last save count, and no more than those.
  EXPECT_EQ(left_after(39s, 39s), 1u);
  EXPECT_EQ(left_after(40s, 40s), 0u);
}

TEST_F(StateFile, AClockThatWasSetNeitherKeepsALeaseNorDropsIt) {
  enrol(registry, 1);
  EXPECT_EQ(left_after(1h, 5s), 1u) << "set forwards";
  EXPECT_EQ(left_after(-1h, 5s), 1u) << "set backwards";
  EXPECT_EQ(left_after(-1h, 50s), 0u) << "and it cannot hide that time has passed";
}

TEST_F(StateFile, AfterABootTheWallClockCounts) {
  enrol(registry, 1);
  EXPECT_EQ(left_after(20s, -1h, "two"), 1u);
  EXPECT_EQ(left_after(50s, -1h, "two"), 0u);
  EXPECT_EQ(left_after(-10000h, -1h, "two"), 1u) << "for one lease, not for ever";
  EXPECT_EQ(left_after(24h * 365 * 200, -1h, "two"), 0u);
}

TEST_F(StateFile, AClaimIsBackWithItsHolderAndItsRest) {
  enrol(registry, 1);
  const net::Place holder{.peer_key = key_of(1), .role = "a"};
  const net::Place other{.peer_key = key_of(2), .role = "a"};
  const TimePoint boot(moment.boot);
  registry.claims().begin(500, boot, boot);
  const auto ask = [&](Registry& of, const net::Place& who, TimePoint when) {
    return std::get<net::answer::Claimed>(
        of.claims().claim({.as = run.as("a"), .name = "driver", .number = 0, .hold_ms = 20000},
                          {.who = who, .address = "192.0.2.1"}, 30s, when));
  };
  EXPECT_EQ(ask(registry, holder, boot).number, 501u);
  const auto decoded = decode_state(encode(saved_state(registry, moment, now)));
  const auto& state = std::get<SavedState>(decoded);
  EXPECT_EQ(state, saved_state(registry, moment, now));
  EXPECT_EQ(state.claim_floor, 500u);
  Moment later = moment;
  later.boot += 29s;
  const TimePoint then(later.boot);
  Registry restored(registry.limits(), 0);
  restore(state, later, now, restored);
  restored.claims().begin(state.claim_floor, then, then);
  // It may have been prolonged since, until a third of a lease after that was saved.
  const auto refused = ask(restored, other, then);
  EXPECT_FALSE(refused.granted);
  EXPECT_EQ(refused.holder, holder);
  EXPECT_EQ(refused.hold_ms, 1000u);
  EXPECT_EQ(ask(restored, holder, then).number, 501u);
  EXPECT_EQ(ask(restored, other, then + 20s).number, 502u);
}

TEST_F(StateFile, TheKeeperSaysWhetherItsProcessHasEnded) {
  {
    StateKeeper keeper(file(), registry, disk, log, now);
    const auto begun = load_state(folder.path(), disk, log);
    ASSERT_TRUE(begun);
    EXPECT_FALSE(begun->closed);
  }
  EXPECT_TRUE(load_state(folder.path(), disk, log)->closed);
}

TEST_F(StateFile, AForgedRecordIsLeftOut) {
  enrol(registry, 1);
  SavedState state = saved_state(registry, moment, now);
  state.members[0].record.record.back() ^= std::byte{1};
  Registry restored({.lease = 30s}, 0);
  restore(state, moment, now, restored);
  EXPECT_EQ(restored.members(), 0u);
}

TEST_F(StateFile, ThereIsNoneAtFirst) {
  EXPECT_FALSE(load_state(folder.path(), disk, log));
  EXPECT_EQ(log.text, "");
}

TEST_F(StateFile, OneThatIsCutShortAnywhereIsMovedAside) {
  enrol(registry, 1);
  const std::string whole = written();
  for (std::size_t size = 0; size < whole.size(); size += 7) {
    write(whole.substr(0, size));
    log.text.clear();
    EXPECT_FALSE(load_state(folder.path(), disk, log)) << size;
    EXPECT_THAT(log.text, HasSubstr(file().string())) << size;
    EXPECT_FALSE(std::filesystem::exists(file()));
    EXPECT_TRUE(std::filesystem::exists(folder.path() / kDamagedName));
  }
}

TEST_F(StateFile, OneWithAFlippedBitIsMovedAside) {
  enrol(registry, 1);
  const std::string whole = written();
  for (std::size_t at = 0; at < whole.size(); at += 5) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 4);
    write(damaged);
    EXPECT_FALSE(load_state(folder.path(), disk, log)) << at;
  }
}

TEST_F(StateFile, OneThatIsNoFileIsMovedAside) {
  std::filesystem::create_directory(file());
  EXPECT_FALSE(load_state(folder.path(), disk, log));
  EXPECT_TRUE(std::filesystem::is_directory(folder.path() / kDamagedName));
}

TEST_F(StateFile, TheKeeperSavesChangesAtMostOnceASecondAndAtTheEnd) {
  {
    StateKeeper keeper(file(), registry, disk, log, now);
    enrol(registry, 1);
    keeper.tick(now);
    enrol(registry, 2);
    keeper.tick(now + kSaveInterval - 1ns);
  }
  const auto state = load_state(folder.path(), disk, log);
  ASSERT_TRUE(state);
  EXPECT_EQ(state->members.size(), 2u);
  EXPECT_GT(state->highest_version, kFirstVersion);
}

TEST_F(StateFile, ADiskThatRefusesIsAWarningAndTheOldFileStays) {
  write("before");
  constexpr std::size_t kAppend = 1;  // after the temporary file was created
  os::FaultyStorage full(disk, kAppend, ENOSPC, os::Syncs::left_out, os::Lasting::for_good);
  {
    StateKeeper keeper(file(), registry, full, log, now);
    enrol(registry, 1);
    keeper.tick(now);
  }
  EXPECT_THAT(log.text, HasSubstr("the registry was not saved"));
  EXPECT_EQ(os::read_file(disk, file(), 100), "before");
}

// A process that saves one registry after another, killed at any moment: what is on the disk is
// one of them, whole, and never an older one than what was durable before.
TEST_F(StateFile, AKillDuringAWriteLosesNothingThatWasDurable) {
  for (std::uint8_t i = 1; i <= 50; ++i) enrol(registry, i);
  std::uint64_t durable = 0;
  for (int round = 0; round < 10; ++round) {
    int counts[2];
    ASSERT_EQ(::pipe(counts), 0);
    const pid_t writer = ::fork();
    ASSERT_GE(writer, 0);
    if (writer == 0) {
      for (std::uint64_t i = durable + 1;; ++i) {
        SavedState state = saved_state(registry, moment, now);
        state.highest_version = i;
        os::write_file_durably(disk, file(), "relay", encode(state));
        if (::write(counts[1], &i, sizeof i) != sizeof i) ::_exit(1);
      }
    }
    ::close(counts[1]);
    for (int i = 0; i <= round; ++i) {
      ASSERT_EQ(::read(counts[0], &durable, sizeof durable), ssize_t{sizeof durable});
    }
    ::kill(writer, SIGKILL);
    ::waitpid(writer, nullptr, 0);
    ::close(counts[0]);
    const auto state = load_state(folder.path(), disk, log);
    ASSERT_TRUE(state) << log.text;
    EXPECT_GE(state->highest_version, durable);
    EXPECT_EQ(state->members.size(), 50u);
    durable = state->highest_version;
  }
}

}  // namespace
}  // namespace ptrain::relay
