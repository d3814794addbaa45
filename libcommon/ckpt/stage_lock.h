// A stage's claim on its run's folder of checkpoints, for as long as its process lives: two runs
// that write the same folder at the same time would leave checkpoints that neither can continue.
//
// The claim of stage 3 is a lock on .stage-03.lock in the folder, a file that says who holds it.
// The kernel takes the lock back when its holder ends, however that ends; the file stays. Stages
// share a folder when they say the same of their run. Those who only read, and gc, replicate and
// fetch, which write no step of a live run, do not ask.
//
// A disk without locks cannot be asked: then a warning says so, and the run goes on. Over NFS the
// lock is the server's; where it takes a dead host for alive, its name is in the message.

#pragma once

#include <filesystem>
#include <string>

#include "libcommon/base/log.h"
#include "libcommon/base/units.h"
#include "libcommon/os/file_descriptor.h"

namespace ptrain::ckpt {

// What the stages of one run have in common.
struct RunIdentity {
  std::uint32_t stages = 1;
  std::string job_hash;
  friend bool operator==(const RunIdentity&, const RunIdentity&) = default;
};

class StageLock {
 public:
  // Makes the folder where it is not there, and writes to it, so that one that cannot be written
  // is found before the work: Error(io). Error(try_again) names the process that holds this stage,
  // or another stage of another run.
  StageLock(const std::filesystem::path& directory, StageIndex stage, const RunIdentity& run,
            Log& log);

 private:
  os::FileDescriptor file_;  // the lock lives as long as it
};

}  // namespace ptrain::ckpt
