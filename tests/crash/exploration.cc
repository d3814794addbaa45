#include "tests/crash/exploration.h"

#include <cerrno>
#include <optional>
#include <random>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "tests/crash/crash_storage.h"
#include "tests/unit/os/faulty_storage.h"

namespace ptrain::crash {
namespace {

// An operation with more changes than this has lost its way.
constexpr std::size_t kMostOperations = 10'000;

struct Start {
  DiskImage image;
  Promises promises;
};

Start prepare(const Scenario& scenario) {
  Start start;
  CrashStorage disk;
  scenario.prepare({disk, start.promises});
  start.image = disk.model().live();
  return start;
}

enum class AndThen { stop, run_again };

// Checks disks, each one once for the same promises, and that the operation can be run again.
class Judge {
 public:
  Judge(const Scenario& scenario, std::size_t stride) : scenario_(scenario), stride_(stride) {}

  // Each state in which the power could leave that disk.
  void all_crash_states(const DiskModel& disk, const Promises& promises, const std::string& when,
                        AndThen and_then) {
    ++findings_.moments;
    for (const DiskImage& image : disk.crash_states(random_)) {
      one(image, promises, when, and_then);
    }
  }
  void one(const DiskImage& image, const Promises& promises, const std::string& when,
           AndThen and_then) {
    if (!seen_.insert({fingerprint(image), promises.version()}).second) return;
    if (findings_.states++ % stride_ != 0) return;
    CrashStorage disk(image);
    look(disk, promises, when);
    if (and_then == AndThen::run_again) repeat(disk, promises, when);
  }
  void report(const std::vector<std::string>& violations, const std::string& when) {
    for (const std::string& violation : violations) {
      if (findings_.violations.size() == kMostViolations) return;
      findings_.violations.push_back(fmt::format("{}: {}: {}", scenario_.name, when, violation));
    }
  }
  const Findings& findings() const { return findings_; }

 private:
  // What it then promises must hold even of what is durable.
  void repeat(CrashStorage& disk, Promises promises, const std::string& when) {
    try {
      scenario_.run({disk, promises});
    } catch (const Error& error) {
      report({fmt::format("run again: {}", error.what())}, when);
      return;
    }
    CrashStorage left(disk.model().durable());
    look(left, promises, when + ", run again");
  }
  void look(CrashStorage& disk, const Promises& promises, const std::string& when) {
    report(promises.broken(disk), when);
    if (scenario_.flaws) report(scenario_.flaws(disk), when);
  }

  const Scenario& scenario_;
  std::size_t stride_;
  std::mt19937_64 random_{1};
  std::set<std::pair<std::uint64_t, std::uint64_t>> seen_;
  Findings findings_;
};

// One failing change. False when the operation has no change of that number.
bool fail_at(const Scenario& scenario, const Start& start, std::size_t failing, int error_number,
             os::Lasting lasting, Judge& judge) {
  CrashStorage disk(start.image);
  os::FaultyStorage faulty(disk, failing, error_number, os::Syncs::passed_on, lasting);
  Promises promises = start.promises;
  std::optional<Error> error;
  try {
    scenario.run({faulty, promises});
  } catch (const Error& thrown) {
    error = thrown;
  }
  const std::string what = faulty.failed() ? faulty.log()[failing] : "nothing";
  const std::string when =
      fmt::format("change {} ({}) failed with errno {}", failing, what, error_number);
  if (error && (!faulty.failed() || error->kind() != ErrorKind::io)) {
    judge.report({fmt::format("not the disk's error: {}", error->what())}, when);
  }
  if (!faulty.failed()) return false;
  judge.one(disk.model().live(), promises, when, AndThen::run_again);
  judge.all_crash_states(disk.model(), promises, when + ", then the power", AndThen::stop);
  return true;
}

}  // namespace

Findings crash_everywhere(const Scenario& scenario, std::size_t stride) {
  Start start = prepare(scenario);
  Promises& promises = start.promises;
  Judge judge(scenario, stride);
  std::size_t count = 0;
  DiskModel before(start.image);
  std::uint64_t judged = promises.version();
  // A promise given since the last change must hold before the next one helps it.
  const auto judge_promises = [&] {
    if (std::exchange(judged, promises.version()) == promises.version()) return;
    judge.all_crash_states(before, promises, fmt::format("crash after {}, promised", count),
                           AndThen::run_again);
  };
  CrashStorage disk(start.image, [&](const DiskModel& model, const std::string& operation) {
    judge_promises();
    before = model;
    judge.all_crash_states(model, promises, fmt::format("crash after {} ({})", ++count, operation),
                           AndThen::run_again);
  });
  scenario.run({disk, promises});
  judge_promises();
  return judge.findings();
}

Findings fail_everywhere(const Scenario& scenario, std::size_t stride) {
  const Start start = prepare(scenario);
  Judge judge(scenario, stride);
  for (const int error_number : {EIO, ENOSPC}) {
    for (const os::Lasting lasting : {os::Lasting::once, os::Lasting::for_good}) {
      std::size_t failing = 0;
      while (failing < kMostOperations &&
             fail_at(scenario, start, failing, error_number, lasting, judge)) {
        ++failing;
      }
    }
  }
  return judge.findings();
}

}  // namespace ptrain::crash
