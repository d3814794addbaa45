#include "tools/stage/engine/shard_source.h"

#include <utility>

#include <fmt/format.h>

#include "libcommon/base/error.h"
#include "libcommon/ckpt/store.h"
#include "libcommon/net/endpoint_rules.h"

namespace ptrain::stage {
namespace {

// The holders' affair, not this host's: without them the run does what it would do alone.
bool is_theirs(const Error& error) {
  return error.kind() == ErrorKind::unavailable || error.kind() == ErrorKind::try_again ||
         error.kind() == ErrorKind::permission || error.kind() == ErrorKind::corrupt;
}

}  // namespace

ShardSource::ShardSource(transfer::FetchOptions options, os::Storage& storage, Log& log,
                         const Clock& clock)
    : options_(std::move(options)), storage_(storage), log_(log), clock_(clock) {
  for (const net::Endpoint& holder : options_.holders.endpoints) {
    net::check_dialled(holder, options_.holders.key.has_value(), to_string(holder));
  }
}

std::optional<transfer::Entry> ShardSource::find(
    const std::string& which, std::function<void(const ckpt::Manifest&)> accept) {
  transfer::FetchOptions wanted = options_;
  wanted.which = which;
  wanted.accept = std::move(accept);
  try {
    return transfer::find_held(wanted, storage_, log_, clock_);
  } catch (const Error& error) {
    if (!is_theirs(error)) throw;
    log_.warning(error.what());
    return std::nullopt;
  }
}

bool ShardSource::bring(const std::string& id, std::function<void(const ckpt::Manifest&)> accept) {
  transfer::FetchOptions wanted = options_;
  wanted.which = id;
  wanted.accept = std::move(accept);
  try {
    const transfer::FetchResult result = transfer::fetch(wanted, storage_, log_, clock_);
    if (!result.stopped) say(result);
    return !result.stopped;
  } catch (const Error& error) {
    if (!is_theirs(error)) throw;
    log_.warning(fmt::format("checkpoint {} could not be brought here: {}", id, error.what()));
    return false;
  }
}

void ShardSource::say(const transfer::FetchResult& result) {
  for (const transfer::RepairedChunk& chunk : result.repaired) {
    log_.info(fmt::format("{}: chunk {} of {} was damaged and is repaired",
                          ckpt::step_name(result.step), chunk.chunk, chunk.file));
  }
  log_.info(fmt::format("{}: {} bytes fetched, {} here", ckpt::step_name(result.step),
                        result.progress.fetched_bytes.value(),
                        result.progress.wanted_bytes.value()));
}

}  // namespace ptrain::stage
