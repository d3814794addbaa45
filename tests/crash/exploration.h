// Runs an operation on checkpoints again and again, stopped by a crash or a failing disk at
// every place where that can happen, and collects what must not be.
//
// The operation may run twice: after a crash, or an error, it is run again on what is left,
// and must then succeed. Deterministic; one thread.

#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "libcommon/os/storage.h"
#include "tests/crash/promises.h"

namespace ptrain::crash {

// What the operation works on. It says what it promises as soon as it does.
struct World {
  os::Storage& disk;
  Promises& promises;
};

struct Scenario {
  std::string name;                           // in_lower_case
  std::function<void(const World&)> prepare;  // what it makes is durable afterwards
  std::function<void(const World&)> run;
  // What else must hold of every disk; a sentence for each thing that does not.
  std::function<std::vector<std::string>(os::Storage&)> flaws = {};
};

struct Findings {
  std::size_t moments = 0;              // at which the operation was stopped
  std::size_t states = 0;               // of the disk that were met, none of them twice
  std::vector<std::string> violations;  // at most kMostViolations
};
inline constexpr std::size_t kMostViolations = 8;

// Of the states that are met, the first and every `stride`th after it is checked, 1 <= stride.

// The power fails after every change of the disk.
Findings crash_everywhere(const Scenario& scenario, std::size_t stride = 1);
// Every change of the disk fails, once or for good, with EIO and with ENOSPC; the operation
// must throw Error(io) or cope. The power may fail then, too; run again it is without that.
Findings fail_everywhere(const Scenario& scenario, std::size_t stride = 1);

}  // namespace ptrain::crash
