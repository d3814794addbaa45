#include "tools/relay/control/state_keeper.h"

#include <utility>

#include "libcommon/base/error.h"
#include "libcommon/os/atomic_file.h"
#include "tools/relay/control/state_file.h"

namespace ptrain::relay {
namespace {

constexpr std::string_view kWriter = "relay";

}  // namespace

StateKeeper::StateKeeper(std::filesystem::path file, const Registry& registry, os::Storage& storage,
                         Log& log, TimePoint now)
    : file_(std::move(file)),
      registry_(registry),
      storage_(storage),
      log_(log),
      posted_changes_(registry.changes()),
      latest_(now) {
  write(picture(now, false));
  writer_ = std::thread([this] { write_what_is_posted(); });
}

StateKeeper::~StateKeeper() {
  post(picture(latest_, true));
  {
    const std::scoped_lock lock(mutex_);
    ending_ = true;
  }
  wake_.notify_one();
  writer_.join();
}

void StateKeeper::tick(TimePoint now) {
  latest_ = now;
  if (posted_at_ && now - *posted_at_ < kSaveInterval) return;
  const bool changed = registry_.changes() != posted_changes_;
  const bool stale = registry_.members() > 0 &&
                     (!posted_at_ || now - *posted_at_ >=
                                         state_age_limit(registry_.limits().lease) - kSaveInterval);
  if (!changed && !stale) return;
  posted_changes_ = registry_.changes();
  posted_at_ = now;
  post(picture(now, false));
}

std::vector<std::byte> StateKeeper::picture(TimePoint now, bool closed) const {
  SavedState state = saved_state(registry_, this_moment(), now);
  state.closed = closed;
  return encode(state);
}

void StateKeeper::post(std::vector<std::byte> bytes) {
  {
    const std::scoped_lock lock(mutex_);
    waiting_ = std::move(bytes);  // in place of one that was not written yet
  }
  wake_.notify_one();
}

void StateKeeper::write(const std::vector<std::byte>& bytes) {
  try {
    os::write_file_durably(storage_, file_, kWriter, bytes);
  } catch (const Error& error) {
    log_.warning(std::string("the registry was not saved: ") + error.what());
  }
}

void StateKeeper::write_what_is_posted() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return waiting_ || ending_; });
    if (!waiting_) return;
    const std::vector<std::byte> bytes = *std::exchange(waiting_, std::nullopt);
    lock.unlock();
    write(bytes);
    lock.lock();
  }
}

}  // namespace ptrain::relay
