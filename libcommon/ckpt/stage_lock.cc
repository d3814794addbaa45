#include "libcommon/ckpt/stage_lock.h"

#include <cerrno>
#include <chrono>
#include <optional>
#include <thread>

#include <fcntl.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "libcommon/base/error.h"
#include "libcommon/os/atomic_file.h"
#include "libcommon/os/file_lock.h"
#include "libcommon/os/storage.h"

namespace ptrain::ckpt {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = ".stage-";
constexpr std::string_view kSuffix = ".lock";
constexpr const char* kHint = "checkpoint.dir must be a folder that can be written, with room";

// A process that has just got its lock has not yet written who it is.
constexpr int kLooks = 20;
constexpr std::chrono::milliseconds kBetweenLooks{50};

struct Holder {
  std::int64_t pid = 0;
  std::string host;
  std::uint32_t stage = 0;
  RunIdentity run;
};

fs::path lock_path(const fs::path& directory, StageIndex stage) {
  return directory / fmt::format("{}{:02}{}", kPrefix, stage.value(), kSuffix);
}

std::string text_of(const Holder& holder) {
  return nlohmann::ordered_json{{"pid", holder.pid},
                                {"host", holder.host},
                                {"stage", holder.stage},
                                {"stages", holder.run.stages},
                                {"job_hash", holder.run.job_hash}}
             .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) +
         "\n";
}

// Nothing where the file says nothing that we understand.
std::optional<Holder> read_holder(const os::FileDescriptor& file) {
  try {
    const auto json = nlohmann::json::parse(os::holder_text(file));
    return Holder{.pid = json.at("pid").get<std::int64_t>(),
                  .host = json.at("host").get<std::string>(),
                  .stage = json.at("stage").get<std::uint32_t>(),
                  .run = {.stages = json.at("stages").get<std::uint32_t>(),
                          .job_hash = json.at("job_hash").get<std::string>()}};
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;
  }
}

[[noreturn]] void refuse(const fs::path& directory, const fs::path& path,
                         const std::optional<Holder>& holder) {
  const std::string who = holder ? fmt::format("stage {} of {} in process {} on {}", holder->stage,
                                               holder->run.stages, holder->pid, holder->host)
                                 : "another process";
  throw Error(ErrorKind::try_again,
              fmt::format("{} is in use by another run: {} holds {}", directory.string(), who,
                          path.filename().string()),
              "wait for it to end, or set another checkpoint.dir");
}

// Throws where another run holds another stage of the folder.
void check_others(os::Storage& storage, const fs::path& directory, const fs::path& own,
                  const RunIdentity& run) {
  for (const std::string& name : storage.list(directory)) {
    const bool is_lock = name.starts_with(kPrefix) && name.ends_with(kSuffix);
    if (!is_lock || directory / name == own) continue;
    const os::FileDescriptor file(
        ::open((directory / name).c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    if (!file.valid()) continue;  // another user's: nothing that we could write over
    std::optional<Holder> holder;
    for (int look = 0; look < kLooks && os::is_locked_elsewhere(file); ++look) {
      holder = read_holder(file);
      if (holder && holder->run == run) break;
      std::this_thread::sleep_for(kBetweenLooks);
    }
    if (os::is_locked_elsewhere(file) && holder && holder->run != run)
      refuse(directory, directory / name, holder);
  }
}

}  // namespace

StageLock::StageLock(const fs::path& directory, StageIndex stage, const RunIdentity& run,
                     Log& log) {
  os::PosixStorage storage;
  os::create_directories_durably(storage, directory);
  const fs::path path = lock_path(directory, stage);
  file_ = os::open_lock_file(path, kHint);
  switch (os::try_lock(file_)) {
    case os::LockOutcome::taken:
      break;
    case os::LockOutcome::held_elsewhere:
      refuse(directory, path, read_holder(file_));
    case os::LockOutcome::unsupported:
      log.warning(fmt::format("{}: {}; make sure that no other run uses this folder", path.string(),
                              io_error("lock", errno).what()));
  }
  const Holder own{.pid = ::getpid(), .host = os::host_name(), .stage = stage.value(), .run = run};
  os::write_holder_text(file_, path, text_of(own), kHint);
  check_others(storage, directory, path, run);
}

}  // namespace ptrain::ckpt
